"""The Protocols and the frozen data that layers share."""
