import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.neo4j.configuration.GraphDatabaseSettings;
import org.neo4j.gds.betweenness.BetweennessCentralityStreamProc;
import org.neo4j.gds.catalog.GraphDropProc;
import org.neo4j.gds.functions.AsNodeFunc;
import org.neo4j.gds.louvain.LouvainStreamProc;
import org.neo4j.gds.pagerank.PageRankStreamProc;
import org.neo4j.gds.projection.CypherAggregation;
import org.neo4j.gds.wcc.WccStreamProc;
import org.neo4j.harness.Neo4j;
import org.neo4j.harness.Neo4jBuilders;

/** A Neo4j on a free port of loopback, for tests: says where it listens, and ends when its input does. */
public class Server {
    /** Takes the folder for its data, and the password of the user `neo4j`. */
    public static void main(String[] arguments) throws Exception {
        try (Neo4j server = Neo4jBuilders.newInProcessBuilder(Path.of(arguments[0]))
                .withDisabledServer()
                .withConfig(GraphDatabaseSettings.auth_enabled, true)
                // A wrong password is one of the things that are tested, many times.
                .withConfig(GraphDatabaseSettings.auth_max_failed_attempts, 0)
                // Of the plugin, what mmETL calls; with the rights that its installation gives it.
                .withConfig(GraphDatabaseSettings.procedure_unrestricted, List.of("gds.*"))
                .withAggregationFunction(CypherAggregation.class)
                .withFunction(AsNodeFunc.class)
                .withProcedure(GraphDropProc.class)
                .withProcedure(PageRankStreamProc.class)
                .withProcedure(BetweennessCentralityStreamProc.class)
                .withProcedure(WccStreamProc.class)
                .withProcedure(LouvainStreamProc.class)
                .build()) {
            server.databaseManagementService().database("system").executeTransactionally(
                    "ALTER USER neo4j SET PASSWORD $password CHANGE NOT REQUIRED",
                    Map.of("password", arguments[1]));
            System.out.println("BOLT " + server.boltURI());
            System.out.flush();
            while (System.in.read() != -1) {
                // Nothing is said to it: only the end of its input counts.
            }
        }
    }
}
