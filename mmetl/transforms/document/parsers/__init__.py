"""One module for each family of formats: functions from bytes to `Parsed`."""
