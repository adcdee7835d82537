"""The kinds of anomalies: what each means, how grave it is by default, and which of TensorFlow Data Validation's it answers to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "ignore"]


@dataclass(frozen=True, slots=True)
class AnomalyKind:
    """One kind: `group` orders them for readers, `tfdv` names its counterparts there."""

    name: str
    group: str
    means: str
    severity: Severity = "error"
    tfdv: tuple[str, ...] = ()


_COLUMNS, _TYPES, _NULLS, _VALUES, _ROWS, _TIME, _LEARNING = "columns", "types", "missing values", "values", "rows", "time", "learning"

_ALL = (
    AnomalyKind("column-missing", _COLUMNS, "A column of the schema is not there.", tfdv=("SCHEMA_MISSING_COLUMN",)),
    AnomalyKind("column-added", _COLUMNS, "A column is there that the schema does not know.", tfdv=("SCHEMA_NEW_COLUMN",)),
    AnomalyKind("integer-became-float", _TYPES, "Whole numbers became numbers with a fraction, or are stored as such."),
    AnomalyKind("float-became-integer", _TYPES, "Every value of a column of fractions is now whole: rounded or cut somewhere.", "warning"),
    AnomalyKind(
        "became-text", _TYPES, "A column of numbers, times or truth values is now text: some of its values cannot be read as such.",
        tfdv=("INT_TYPE_NOT_INT_STRING", "FLOAT_TYPE_STRING_NOT_FLOAT"),
    ),
    AnomalyKind(
        "text-became-number", _TYPES, "A column of text holds nothing but numbers, times or truth values now.",
        tfdv=("SEMANTIC_DOMAIN_UPDATE",),
    ),
    AnomalyKind(
        "type-changed", _TYPES, "The values are of another type than the schema says.",
        tfdv=("UNEXPECTED_DATA_TYPE", "BOOL_TYPE_BIG_INT", "BOOL_TYPE_SMALL_INT", "BOOL_TYPE_UNEXPECTED_FLOAT"),
    ),
    AnomalyKind(
        "nesting-changed", _TYPES, "Single values became lists, or lists became single values.",
        tfdv=("VALUE_NESTEDNESS_MISMATCH",),
    ),
    AnomalyKind("nulls", _NULLS, "Values are missing where the schema allows none."),
    AnomalyKind(
        "presence-low", _NULLS, "Fewer rows have a value than the schema asks for.",
        tfdv=("FEATURE_TYPE_LOW_FRACTION_PRESENT", "FEATURE_TYPE_LOW_NUMBER_PRESENT"),
    ),
    AnomalyKind("column-empty", _NULLS, "No row has a value.", tfdv=("FEATURE_TYPE_NOT_PRESENT",)),
    AnomalyKind(
        "partner-missing", _NULLS, "A column has a value in rows in which the column that belongs to it has none.",
        tfdv=("SPARSE_FEATURE_MISSING_VALUE", "SPARSE_FEATURE_MISSING_INDEX",
        "WEIGHTED_FEATURE_MISSING_VALUE", "WEIGHTED_FEATURE_MISSING_WEIGHT"),
    ),
    AnomalyKind("nan", _NULLS, "Values are NaN where the schema allows none.", tfdv=("FLOAT_TYPE_HAS_NAN",)),
    AnomalyKind("infinity", _NULLS, "Values are infinite where the schema allows none.", tfdv=("FLOAT_TYPE_HAS_INF",)),
    AnomalyKind(
        "encoding-damaged", _VALUES, "Texts went through a wrong encoding: “Ã©” for “é”, “�” for what was lost.",
        tfdv=("ENUM_TYPE_INVALID_UTF8",),
    ),
    AnomalyKind("unit-changed", _VALUES, "A column is in another unit now: its values are those of the schema times a factor."),
    AnomalyKind("too-small", _VALUES, "Values below the smallest that is allowed.", tfdv=("INT_TYPE_SMALL_INT", "FLOAT_TYPE_SMALL_FLOAT")),
    AnomalyKind("too-large", _VALUES, "Values above the largest that is allowed.", tfdv=("INT_TYPE_BIG_INT", "FLOAT_TYPE_BIG_FLOAT")),
    AnomalyKind("not-a-multiple", _VALUES, "Numbers that are no multiple of what the schema says."),
    AnomalyKind(
        "unknown-category", _VALUES, "Values that are none of the known ones, or more of them than allowed.",
        tfdv=("ENUM_TYPE_UNEXPECTED_STRING_VALUES", "BOOL_TYPE_UNEXPECTED_STRING", "FEATURE_COVERAGE_TOO_LOW"),
    ),
    AnomalyKind("pattern-mismatch", _VALUES, "Texts that do not have the pattern."),
    AnomalyKind("format-mismatch", _VALUES, "Texts that are no date, address, identifier … as the schema says."),
    AnomalyKind("text-too-short", _VALUES, "Texts shorter than allowed.", tfdv=("FEATURE_COVERAGE_TOO_SHORT_AVG_TOKEN_LENGTH",)),
    AnomalyKind("text-too-long", _VALUES, "Texts, or bytes, longer than allowed.", tfdv=("MAX_IMAGE_BYTE_SIZE_EXCEEDED",)),
    AnomalyKind("list-too-short", _VALUES, "Lists with fewer elements than allowed.", tfdv=("FEATURE_TYPE_LOW_NUMBER_VALUES",)),
    AnomalyKind("list-too-long", _VALUES, "Lists with more elements than allowed.", tfdv=("FEATURE_TYPE_HIGH_NUMBER_VALUES",)),
    AnomalyKind("shape-mismatch", _VALUES, "Lists that are not as long as the shape says.", tfdv=("INVALID_FEATURE_SHAPE",)),
    AnomalyKind(
        "lengths-differ", _VALUES, "Lists that belong together are not equally long.",
        tfdv=("SPARSE_FEATURE_LENGTH_MISMATCH", "WEIGHTED_FEATURE_LENGTH_MISMATCH"),
    ),
    AnomalyKind(
        "elements-too-few", _VALUES, "Lists with too few of the elements that they must contain.",
        tfdv=("SEQUENCE_VALUE_TOO_FEW_OCCURRENCES", "SEQUENCE_VALUE_TOO_SMALL_FRACTION"),
    ),
    AnomalyKind(
        "elements-too-many", _VALUES, "Lists with too many of the elements that they may contain.",
        tfdv=("SEQUENCE_VALUE_TOO_MANY_OCCURRENCES", "SEQUENCE_VALUE_TOO_LARGE_FRACTION"),
    ),
    AnomalyKind("not-an-image", _VALUES, "Bytes that are no image of a known format.", tfdv=("LOW_SUPPORTED_IMAGE_FRACTION",)),
    AnomalyKind("became-constant", _VALUES, "A column that varied has one value only."),
    AnomalyKind("constant-changed", _VALUES, "A column that had one value has others."),
    AnomalyKind("distinct-low", _VALUES, "Fewer distinct values than the schema asks for.", tfdv=("FEATURE_TYPE_LOW_UNIQUE",)),
    AnomalyKind("distinct-high", _VALUES, "More distinct values than the schema allows.", tfdv=("FEATURE_TYPE_HIGH_UNIQUE",)),
    AnomalyKind("statistic-out-of-range", _VALUES, "The mean, spread or another statistic is outside of its bounds."),
    AnomalyKind("no-rows", _ROWS, "The table has no rows."),
    AnomalyKind(
        "rows-too-few", _ROWS, "Fewer rows than the schema, or the baseline, asks for.",
        tfdv=("DATASET_LOW_NUM_EXAMPLES", "COMPARATOR_LOW_NUM_EXAMPLES"),
    ),
    AnomalyKind(
        "rows-too-many", _ROWS, "More rows than the schema, or the baseline, allows.",
        tfdv=("DATASET_HIGH_NUM_EXAMPLES", "COMPARATOR_HIGH_NUM_EXAMPLES"),
    ),
    AnomalyKind("rows-rejected", _ROWS, "Rows that could not be read; their line numbers are kept.", "warning"),
    AnomalyKind("rows-repeated", _ROWS, "Rows that are equal to another one."),
    AnomalyKind("not-unique", _ROWS, "A column whose values are unique has the same value in several rows."),
    AnomalyKind("key-repeated", _ROWS, "Columns that together are a key have the same values in several rows."),
    AnomalyKind("unsorted", _ROWS, "A sorted column is out of order."),
    AnomalyKind("cadence-changed", _TIME, "Events come more, or less, often than the schema says."),
    AnomalyKind("cadence-irregular", _TIME, "Events no longer come at the regular times of the schema."),
    AnomalyKind("time-gap", _TIME, "Nothing came for longer than the schema allows."),
    AnomalyKind("time-repeated", _TIME, "Several events have the same time."),
    AnomalyKind("time-unordered", _TIME, "Events are not in the order of their times."),
    AnomalyKind("clock-shifted", _TIME, "Times jump, or are off, by an amount that is no difference of time zones; or lie in the future."),
    AnomalyKind("zone-shifted", _TIME, "Times are, or jump, by a difference of time zones, or carry another zone than the schema says."),
    AnomalyKind("stale", _TIME, "The newest event is older than the schema allows."),
    AnomalyKind(
        "label-leak", _LEARNING,
        "A column tells the label almost alone: it will not be there, or not like this, when the model is used.",
    ),
    AnomalyKind("overlap", _LEARNING, "Rows are also in the other table: what is tested on was trained on."),
    AnomalyKind(
        "drift", _LEARNING, "The distribution moved away from the baseline's.", "warning",
        ("COMPARATOR_L_INFTY_HIGH", "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH"),
    ),
    AnomalyKind(
        "baseline-missing", _LEARNING, "A column that is to be compared is not in the baseline.", "warning",
        ("COMPARATOR_CONTROL_DATA_MISSING",),
    ),
)  # fmt: skip

KINDS: dict[str, AnomalyKind] = {kind.name: kind for kind in _ALL}

REFUSED: dict[str, str] = {
    "FEATURE_MISSING_NAME": "a property of a JSON object has a name",
    "FEATURE_MISSING_TYPE": "a column without `type` takes any; `infer` always writes one",
    "FEATURE_TYPE_NO_UNIQUE": "every column's distinct values are counted, whatever its type",
    "INVALID_SCHEMA_SPECIFICATION": "such a schema is refused where it is read, with the place in the file (exit status 2)",
    "INVALID_DOMAIN_SPECIFICATION": "such a schema is refused where it is read, with the place in the file (exit status 2)",
    "DOMAIN_INVALID_FOR_TYPE": "such a schema is refused where it is read, with the place in the file (exit status 2)",
    "SPARSE_FEATURE_NAME_COLLISION": "a group of columns has no name of its own that could collide",
    "WEIGHTED_FEATURE_NAME_COLLISION": "a group of columns has no name of its own that could collide",
    "STATS_NOT_AVAILBLE": "validation measures what it needs itself",
}
"""TensorFlow Data Validation's kinds that cannot arise here as anomalies of data, and why."""


def severity_of(kind: str) -> Severity:
    """The default severity of a kind."""
    return KINDS[kind].severity
