"""Who looks after a daemon: health over HTTP, figures for Prometheus, notices for systemd."""
