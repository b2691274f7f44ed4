import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.neo4j.configuration.GraphDatabaseSettings;
import org.neo4j.harness.Neo4j;
import org.neo4j.harness.Neo4jBuilder;
import org.neo4j.harness.Neo4jBuilders;

/** A Neo4j on a free port of loopback, for tests: says where it listens, and ends when its input does. */
public class Server {
    /** Takes the folder for its data, and the password of the user `neo4j`. */
    public static void main(String[] arguments) throws Exception {
        Neo4jBuilder builder = Neo4jBuilders.newInProcessBuilder(Path.of(arguments[0]))
                .withDisabledServer()
                .withConfig(GraphDatabaseSettings.auth_enabled, true)
                // A wrong password is one of the things that are tested, many times.
                .withConfig(GraphDatabaseSettings.auth_max_failed_attempts, 0)
                // The rights that the installation of the plugin gives it.
                .withConfig(GraphDatabaseSettings.procedure_unrestricted, List.of("gds.*"));
        try (Neo4j server = (hasGds() ? withGds(builder) : builder).build()) {
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

    private static boolean hasGds() {
        return Server.class.getClassLoader().getResource("org/neo4j/gds/pagerank/PageRankStreamProc.class") != null;
    }

    /** Adds, of Graph Data Science, what mmETL calls. */
    private static Neo4jBuilder withGds(Neo4jBuilder builder) throws ClassNotFoundException {
        builder.withAggregationFunction(gds("projection.CypherAggregation"));
        builder.withFunction(gds("functions.AsNodeFunc"));
        for (String name : List.of(
                "catalog.GraphDropProc",
                "pagerank.PageRankStreamProc",
                "betweenness.BetweennessCentralityStreamProc",
                "wcc.WccStreamProc",
                "louvain.LouvainStreamProc")) {
            builder.withProcedure(gds(name));
        }
        return builder;
    }

    private static Class<?> gds(String name) throws ClassNotFoundException {
        return Class.forName("org.neo4j.gds." + name);
    }
}
