"""What a given traffic needs: processes, memory, connections, and what breaks first."""
