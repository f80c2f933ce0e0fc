"""The figures by which results are judged."""
