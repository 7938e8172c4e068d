"""What decides in the daemon: which chunk is loaded when, by which worker, into which slot. All of it is pure."""
