"""Every rank brings its rows."""

import xgboost
from xgboost_loop import SETTINGS, Clock, rounds, rows

import fairway as fw


@fw.step(gang=fw.gang(replicas=2, framework="xgboost", stall_timeout="1m"), cache=False)
def fit() -> int:
    features, labels = rows(fw.context().rank, fw.context().world_size)
    xgboost.train(SETTINGS, xgboost.DMatrix(features, labels), rounds(), callbacks=[Clock()])
    return 1


@fw.pipeline
def xgboost_gang():
    return fit()
