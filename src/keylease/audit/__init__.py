"""What an audit judges: inventory, rules, findings. Only collectors do I/O."""
