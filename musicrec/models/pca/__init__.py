"""Principal components of the listener × item matrix."""
