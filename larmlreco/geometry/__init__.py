"""Wire planes, wire crossings and drift; one data file a detector."""
