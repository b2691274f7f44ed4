"""Neo4j: a graph in a server."""
