"""What a finished case must satisfy before it is written."""
