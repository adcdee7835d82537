"""Every live kind of TensorFlow Data Validation has a counterpart; the documented table is the code's."""

from __future__ import annotations

import re
from pathlib import Path

from fairway.data.anomalies.kinds import KINDS, REFUSED

TFDV = """
BOOL_TYPE_BIG_INT BOOL_TYPE_SMALL_INT BOOL_TYPE_UNEXPECTED_STRING BOOL_TYPE_UNEXPECTED_FLOAT ENUM_TYPE_INVALID_UTF8
ENUM_TYPE_UNEXPECTED_STRING_VALUES FEATURE_TYPE_HIGH_NUMBER_VALUES FEATURE_TYPE_LOW_FRACTION_PRESENT FEATURE_TYPE_LOW_NUMBER_PRESENT
FEATURE_TYPE_LOW_NUMBER_VALUES FEATURE_TYPE_NOT_PRESENT FEATURE_TYPE_HIGH_UNIQUE FEATURE_TYPE_LOW_UNIQUE FEATURE_TYPE_NO_UNIQUE
FLOAT_TYPE_BIG_FLOAT FLOAT_TYPE_SMALL_FLOAT FLOAT_TYPE_STRING_NOT_FLOAT FLOAT_TYPE_HAS_NAN FLOAT_TYPE_HAS_INF INT_TYPE_BIG_INT
INT_TYPE_NOT_INT_STRING INT_TYPE_SMALL_INT LOW_SUPPORTED_IMAGE_FRACTION SCHEMA_MISSING_COLUMN SCHEMA_NEW_COLUMN
COMPARATOR_CONTROL_DATA_MISSING COMPARATOR_L_INFTY_HIGH COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH SPARSE_FEATURE_MISSING_VALUE
SPARSE_FEATURE_MISSING_INDEX SPARSE_FEATURE_LENGTH_MISMATCH SPARSE_FEATURE_NAME_COLLISION SEMANTIC_DOMAIN_UPDATE
COMPARATOR_LOW_NUM_EXAMPLES COMPARATOR_HIGH_NUM_EXAMPLES DATASET_LOW_NUM_EXAMPLES DATASET_HIGH_NUM_EXAMPLES
WEIGHTED_FEATURE_NAME_COLLISION WEIGHTED_FEATURE_MISSING_VALUE WEIGHTED_FEATURE_MISSING_WEIGHT WEIGHTED_FEATURE_LENGTH_MISMATCH
VALUE_NESTEDNESS_MISMATCH DOMAIN_INVALID_FOR_TYPE FEATURE_MISSING_NAME FEATURE_MISSING_TYPE INVALID_SCHEMA_SPECIFICATION
INVALID_DOMAIN_SPECIFICATION UNEXPECTED_DATA_TYPE SEQUENCE_VALUE_TOO_FEW_OCCURRENCES SEQUENCE_VALUE_TOO_MANY_OCCURRENCES
SEQUENCE_VALUE_TOO_SMALL_FRACTION SEQUENCE_VALUE_TOO_LARGE_FRACTION FEATURE_COVERAGE_TOO_LOW
FEATURE_COVERAGE_TOO_SHORT_AVG_TOKEN_LENGTH MAX_IMAGE_BYTE_SIZE_EXCEEDED INVALID_FEATURE_SHAPE STATS_NOT_AVAILBLE
""".split()
"""What tensorflow/data-validation's g3doc/anomalies.md lists, without those of which it says "Anomaly type not detected in TFDV"; spelt
as there. Read in November 2026."""

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "validation.md"


def test_every_live_kind_of_tfdv_has_one_counterpart() -> None:
    named = [name for kind in KINDS.values() for name in kind.tfdv]
    assert sorted([*named, *REFUSED]) == sorted(TFDV)


def test_kinds_are_named_as_they_are_listed_and_say_what_they_mean() -> None:
    for name, kind in KINDS.items():
        assert name == kind.name
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert kind.means.endswith(".")


def test_the_guide_lists_every_kind_with_its_meaning_and_counterparts() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*?) \| (error|warning) \| (.*?) \|$", GUIDE.read_text(encoding="utf-8"), re.M)
    assert [(name, means, severity, tuple(re.findall(r"[A-Z0-9_]{5,}", tfdv))) for name, means, severity, tfdv in rows] == [
        (kind.name, kind.means, kind.severity, kind.tfdv) for kind in KINDS.values()
    ]


def test_the_guide_says_why_the_others_cannot_arise() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|$", GUIDE.read_text(encoding="utf-8"), re.M))
    assert rows == REFUSED
