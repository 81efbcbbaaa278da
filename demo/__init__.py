"""`make demo`: the main job from beginning to end on real servers, told step by step and checked as it is told."""
