"""The second stage: a learnt order of what the other models offer."""
