"""Tests of keylease, and the test bed (`servers`, `fakes`) that the demo and the bench use too."""
