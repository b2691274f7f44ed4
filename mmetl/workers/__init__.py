"""Where work runs that may crash, hang or eat memory: processes of its own."""
