"""What was used: reports and exports."""
