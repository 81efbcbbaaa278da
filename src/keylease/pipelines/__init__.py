"""What a run does, in terms of the base classes only: no provider's name appears here."""
