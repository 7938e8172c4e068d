"""A dask cluster as a place to load from: the only package that knows dask.distributed, and with it pickle.

``link`` is the daemon's side, ``bridge`` a process of the daemon's that talks to the cluster, ``at_worker`` what runs
in the cluster's workers; ``own_cluster`` starts a cluster where there is none.
"""
