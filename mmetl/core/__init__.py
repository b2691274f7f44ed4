"""From a pipeline YAML to what runs: registry, planner, decisions, executor, the doit adapter."""
