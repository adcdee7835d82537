"""The same by `xgboost.dask`: a cluster of two workers with one thread each, the rows persisted in them."""

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait
from xgboost import dask as dxgb
from xgboost_loop import FEATURES, ROWS, SETTINGS, Clock, rounds, rows

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        parts = [client.submit(rows, rank, 2, pure=False, workers=[worker]) for rank, worker in enumerate(client.nthreads())]
        wait(parts)
        half = ROWS // 2
        features = da.concatenate([
            da.from_delayed(client.submit(lambda pair: pair[0], part), (half, FEATURES), np.float32) for part in parts
        ])  # fmt: skip
        labels = da.concatenate([da.from_delayed(client.submit(lambda pair: pair[1], part), (half,), np.float32) for part in parts])
        matrix = dxgb.DaskDMatrix(client, features.persist(), labels.persist())
        dxgb.train(client, SETTINGS, matrix, rounds(), callbacks=[Clock()])
