"""What is known of credentials and who may use them, asked of platforms, clouds and services. Metadata only."""
