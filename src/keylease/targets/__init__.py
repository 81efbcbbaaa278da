"""Where CI platforms hold secrets and variables, as syncs see them."""
