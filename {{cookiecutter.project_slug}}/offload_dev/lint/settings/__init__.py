"""What a project says outside of its functions: settings, requirements, servers and middleware."""
