"""Which functions of DuckDB make a result depend on threads, or on the time. tests/unit/engines asks DuckDB for others."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


ROW = "__mmetl_row"
"""A table by this name is, as a value, its row; no column is called so."""

SUMS = frozenset({"avg", "mean", "sum"})
"""Exact over integers and decimals; over floats the last bits depend on the order of addition."""

UNORDERED = frozenset({"array_agg", "group_concat", "list", "listagg", "string_agg"})
"""In the order of the rows, unless ordered by the very values that they hold."""

_ROUNDS = "adds floats in any order"
_ANY = "takes any row of those that tie"
_ESTIMATES = "estimates"
_TIES = "numbers rows that tie in any order"

HARD: dict[str, str] = {
    **dict.fromkeys(
        words(
            "corr covar_pop covar_samp decimal_average entropy favg fsum geomean geometric_mean kahan_sum kurtosis kurtosis_pop"
            " product regr_avgx regr_avgy regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy sem skewness stddev"
            " stddev_pop stddev_samp sum_no_overflow sumkahan var_pop var_samp variance wavg weighted_avg"
        ),
        _ROUNDS,
    ),
    **dict.fromkeys(
        words(
            "any_value arbitrary arg_max arg_max_null arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin"
            " first last lttb max_by min_by mode"
        ),
        _ANY,
    ),
    **dict.fromkeys(
        words("approx_count_distinct approx_quantile approx_top_k histogram_values reservoir_quantile summary"),
        _ESTIMATES,
    ),
    **dict.fromkeys(words("fill first_value lag last_value lead nth_value ntile row_number"), _TIES),
    **dict.fromkeys(
        words("array json_group_array json_group_object json_group_structure variant_group_object"),
        "takes rows in any order",
    ),
}
"""Function -> why it needs one thread."""

SAFE_AGGREGATES = words(
    "bit_and bit_or bit_xor bitstring_agg bool_and bool_or count count_if count_star countif cume_dist dense_rank histogram"
    " histogram_exact mad max median min percent_rank quantile quantile_cont quantile_disc rank rank_dense regr_count"
)
"""Aggregates and window functions that were found to give the same bytes on any number of threads."""

VOLATILE = words(
    "ago current_connection_id current_date current_localtime current_localtimestamp current_query current_query_id"
    " current_setting current_time current_timestamp current_transaction_id currval gen_random_uuid get_current_time"
    " get_current_timestamp getenv getvariable localtime localtimestamp nextval now pg_conf_load_time pg_postmaster_start_time"
    " random setseed setval sleep_ms stats today transaction_timestamp txid_current uuid uuidv4 uuidv7"
    " write_log"
)
"""Functions whose value is not decided by their arguments."""

VOLATILE_WORDS = words("current_date current_time current_timestamp localtime localtimestamp")
"""Those that are called without parentheses."""

TABLE_FUNCTIONS = words("generate_series generate_subscripts json_each json_tree range repeat repeat_row unnest")
"""The table functions that a query may call: they read nothing from outside."""
