"""The extractor: panels in, feature frames out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skbatch._sklearn import (
    Hidden,
    Interval,
    ListOf,
    StrOptions,
    TextOf,
    check_feature_names_in,
)
from skbatch.feature_extraction._additions import (
    Function,
    check_functions,
    check_lookback,
    check_market_data,
    check_universe,
    checked_panel,
    fitted_market_data,
    function_kinds,
    warn_short,
    with_flat_names,
)
from skbatch.feature_extraction._feature_plan import (
    FeaturePlan,
    available_needs,
    check_windows,
    make_plan,
)
from skbatch.feature_extraction._feature_source import (
    FeatureSource,
    call,
    check_rows,
    cut_rows,
)
from skbatch.feature_extraction._frame_cache import FEATURE_CACHE
from skbatch.feature_extraction._groupings import (
    Grouping,
    check_cross_section,
    fixed_codes,
    group_codes,
    group_marks,
)
from skbatch.feature_extraction._history import History
from skbatch.feature_extraction._registry import families
from skbatch.feature_extraction._signals import (
    choose_signals,
    encode_signals,
    learn_categories,
    missing_at_end,
)
from skbatch.panel.engine import (
    CheckedPanel,
    PanelLike,
    Universe,
    adopt_table,
    panel_tickers,
)

_FAMILY = StrOptions({"default", *families()})


class SharedFeatureExtractor(TransformerMixin, BaseEstimator):
    """Turn a panel of prices into a feature frame with the same rows.

    Features that tickers share are computed once, and all tickers together. Every
    feature at a date is computed from that date and earlier ones. The last fitted
    rows are kept, so that rows that follow them, the test fold of a cross-validation
    or a single new day, have their full lookback: fitting on the first rows and
    transforming the next gives the same values, bit for bit, as doing both at once.

    Parameters
    ----------
    families : sequence of str, default=None
        Families of features: returns, volatility, trend, oscillators, relative,
        range, volume, rank, group, market, calendar. None takes all of these that the
        panel allows: range needs open, high and low, volume needs volume, calendar
        needs dates, and group needs `groups`. One more, anomalies, is computed only
        when named: ``["default", "anomalies"]`` adds it to those of None.
    windows : sequence of int, default=(5, 10, 21, 63, 126, 252)
        Windows in rows, at least 2. Each feature uses those that make sense for it.
    functions : dict of str to callable, default=None
        Features of your own, by name. A function takes the panel as
        :func:`~skbatch.check_panel` returns it, and returns a DataFrame
        `(n_dates, n_tickers)` for a feature of each ticker or a Series `(n_dates,)`
        for one that all share, with the panel's index. It must use each row's own and
        earlier rows only (:func:`~skbatch.testing.check_no_lookahead` tests that),
        and give the same result for the same panel.
    market_data : DataFrame or Series, default=None
        Series that are not prices of tickers, such as a volatility index, with an
        index of their own: the date from which each value is known. Each row of the
        panel takes the latest value at or before it, as column ``market__NAME``. To
        transform rows later than these series, set newer ones with `set_params`.
    groups : dict, Series, DataFrame, str or list of str, default=None
        Ticker → group, such as the sector, for features relative to the group's mean
        and ranks within it; or a table of groups, dates × tickers, of which each row
        takes the latest at or before it; or the name of a signal that holds the group.
        Several, ``{"sector": {...}, "country": "country"}`` or a list of signals, give
        features named after each: ``sector_log_return_5``. A ticker without a group has
        NaN. ``TICKER__sector_grouping``, not an input of models, numbers the groups.
    signals : dict or list of str, default=None
        Signals, the panel's fields beside prices and volume, and their features:
        ``"value"``; ``"change_63"``, that over 63 rows; ``"rank"``, ``"zscore"`` or
        ``"gap"``, the place, clipped z-score, or difference from the mean, among all
        tickers of the date; ``"sector_rank"`` and the like, within a grouping of
        `groups`; ``"category"``, the code of a category, which has no order for trees
        and the linear model; ``"one_hot"``, a 0 or 1 for each category. None takes
        value, rank, and change over the middle one of `windows` of all signals, or the
        value of bools and the category of text; a list does so for those named.
    cross_section : str, default=None
        ``"rank"`` or ``"zscore"`` (of at most 3), among all tickers of the date, or
        ``"sector_rank"`` and the like, within a grouping of `groups`, replaces the
        tickers' features by their values relative to other tickers, except betas,
        volatilities that forecasters scale by, and features that compare tickers
        already.
    universe : str, DataFrame or callable, default=None
        Which tickers belong at each date: a signal that is true, or 1, for members; a
        table of bool, dates × tickers, of which each row takes the latest at or before
        it; or a function of the panel that returns one, such as
        :func:`~skbatch.panel.liquid` makes. Others have no features, so they are
        neither trained on nor forecast, and have no part in the market, ranks and
        groups. Members use all their own past prices. ``TICKER__in_universe``, which is
        not an input of models, marks them.
    lookback : int, default=None
        How many rows before its own a feature may read, and how many fitted rows are
        therefore kept. None takes what the built-in features need; raise it for
        functions, `universe` among them, that read more.
    cache_size : int, default=2**30
        Limit in bytes of the cache of built-in features that all extractors of the
        process share; 0 bypasses it. Frames of which fewer than four fit into it are
        not kept. `functions` are never cached, but called each time.

    Attributes
    ----------
    plan_ : FeaturePlan
        The features in the order of their columns: `tickers`, `ticker_names` and
        `market_names`.
    lookback_ : int
        How many rows before its own a feature may read.
    history_ : History
        The kept rows: `index` of all fitted rows, and their `tail`.
    functions_ : dict of str to callable
        The functions.
    groups_ : dict of str to ndarray of shape (n_tickers,)
        By grouping without dates, number of each ticker's group, −1 for none.
    categories_ : dict of str to tuple
        By signal, the categories in the order of their codes, 0, 1, …
    n_features_in_ : int
        Number of columns of the panel.
    feature_names_in_ : ndarray of shape (n_features,)
        Tickers, or ``TICKER__Field`` for a panel with fields. Not set for arrays.

    Notes
    -----
    A windowed feature is NaN unless at least half of its window's rows, and the row
    itself, have a price. Tickers' own features (returns, volatility, trend,
    oscillators, range, volume) do not depend on any other ticker. They are computed in
    as many threads as there are cores, or in one inside a joblib worker; the number of
    threads changes no bit.

    Features count rows, so every row of the period is needed: to have features of some
    dates only, pass all rows, and select from the result. Rows that are missing
    between the fitted ones, after them or among those to transform count as missing
    prices, and a warning names the rows to pass. Where only weekdays are missing on
    which no market was closed in the years before, there is a warning, but nothing
    counts as missing, as this may be a new holiday. An array has no dates: if its
    content is that of the fitted array, or of its last rows, it is treated as those
    rows, and otherwise as the rows that follow. An array of other fitted rows, such as
    a fold of KFold, cannot be placed, and is treated as following rows, too.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbatch import SharedFeatureExtractor
    >>> dates = pd.bdate_range("2024-01-01", periods=5)
    >>> prices = pd.DataFrame({"A": [1, 2, 4, 4, 2], "B": 3.0}, index=dates)
    >>> extractor = SharedFeatureExtractor(families=["returns"], windows=[2])
    >>> extractor.fit(prices.iloc[:4]).transform(prices.iloc[4:])
                A__log_return_1  B__log_return_1  A__log_return_2  B__log_return_2
    2024-01-05        -0.693147              0.0        -0.693147              0.0
    """

    # Functions and market data are checked with their contents.
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "families": [ListOf(_FAMILY, least=0), Hidden(_FAMILY), None],
        "windows": [ListOf(Interval(Integral, 2, None, closed="left"), least=0)],
        "groups": [Mapping, pd.Series, pd.DataFrame, str, ListOf(str), None],
        "signals": [Mapping, ListOf(str, least=0), None],
        "cross_section": [
            TextOf(".*(rank|zscore)", '"rank", "zscore" or such as "sector_rank"'),
            None,
        ],
        "universe": [str, pd.DataFrame, callable, None],
        "lookback": [Interval(Integral, 0, None, closed="left"), None],
        "cache_size": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        families: Sequence[str] | None = None,
        windows: Sequence[int] = (5, 10, 21, 63, 126, 252),
        functions: Mapping[str, Function] | None = None,
        market_data: pd.DataFrame | pd.Series | None = None,
        groups: Grouping | None = None,
        signals: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
        cross_section: str | None = None,
        universe: Universe | None = None,
        lookback: int | None = None,
        cache_size: int = 2**30,
    ) -> None:
        self.families = families
        self.windows = windows
        self.functions = functions
        self.market_data = market_data
        self.groups = groups
        self.signals = signals
        self.cross_section = cross_section
        self.universe = universe
        self.lookback = lookback
        self.cache_size = cache_size

    def fit(self, X: PanelLike, y: object = None) -> SharedFeatureExtractor:
        """Learn the columns, and keep the rows that later rows look back on.

        Parameters
        ----------
        X : DataFrame, CheckedPanel or array-like of shape (n_dates, n_tickers)
            Panel of prices: closes, or two column levels (field, ticker).
        y : ignored
            Not used.

        Returns
        -------
        self : SharedFeatureExtractor
            The fitted extractor.

        Raises
        ------
        PanelError
            If `X` is malformed; see :func:`~skbatch.check_panel`.
        ValueError
            For an invalid parameter.

        Warns
        -----
        PanelWarning
            If the panel is shorter than the longest window.
        HistoryWarning
            If the panel has a gap: a step that skips more than ten dates and is more
            than five times as long as usual.

        Notes
        -----
        A fit that fails leaves the extractor as it was.
        """
        self._fit(adopt_table(X))
        return self

    def fit_transform(
        self, X: PanelLike, y: object = None
    ) -> pd.DataFrame | np.ndarray:
        """Fit, and compute the features of the same panel.

        Parameters
        ----------
        X : DataFrame, CheckedPanel or array-like of shape (n_dates, n_tickers)
            Panel of prices: closes, or two column levels (field, ticker).
        y : ignored
            Not used.

        Returns
        -------
        DataFrame or ndarray of shape (n_dates, n_columns), dtype float32
            Feature frame, or an array if `X` is not a DataFrame.
        """
        X = adopt_table(X)
        panel = self._fit(X)
        return self._wrap(self._extract(*self.history_.complete(panel)), X)

    def transform(self, X: PanelLike) -> pd.DataFrame | np.ndarray:
        """Compute the features of a panel.

        Parameters
        ----------
        X : DataFrame, CheckedPanel or array-like of shape (n_dates, n_tickers)
            Panel with the columns seen in `fit`: the fitted rows, rows that follow
            them, or any other rows with their lookback.

        Returns
        -------
        DataFrame or ndarray of shape (n_dates, n_columns), dtype float32
            Feature frame, or an array if `X` is not a DataFrame.

        Raises
        ------
        PanelError
            If `X` is malformed, or its index of another kind than in `fit`.
        ValueError
            If its columns are not those of `fit`.

        Warns
        -----
        HistoryWarning
            If `X` skips fitted rows, or rows between the fitted ones and `X` or in
            `X` are missing, if only one weekday that was no holiday before.
        PanelWarning
            If `market_data` ends long before `X`.
        """
        check_is_fitted(self)
        X = adopt_table(X)
        panel, _ = self._locate(X)
        return self._wrap(self._extract(*self.history_.prepend(panel)), X)

    def transform_blocks(
        self,
        X: PanelLike,
        *,
        rows: Sequence[int] | np.ndarray | None = None,
        features: Sequence[str] | None = None,
        block_rows: int | None = None,
    ) -> Iterator[pd.DataFrame]:
        """Compute the features block by block, without a whole frame or the cache.

        Parameters
        ----------
        X : DataFrame, CheckedPanel or array-like of shape (n_dates, n_tickers)
            Panel with the columns seen in `fit`, as for `transform`.
        rows : array-like of int, default=None
            Increasing positions of the rows of `X` that are wanted. None takes all.
        features : sequence of str, default=None
            Ticker features to compute, such as ``["volatility_63"]``, without those
            that all tickers share. None computes all columns.
        block_rows : int, default=None
            How many consecutive rows of `X` a block covers at most, wanted or not.
            None chooses a number for which a block takes about 64 MiB, at least 192
            rows: each block computes its lookback again.

        Returns
        -------
        iterator of DataFrame of shape (n_block, n_columns), dtype float32
            The wanted rows of ``transform(X)``, bit for bit, in the order of its rows
            and columns. All frames have the same columns object.

        Raises
        ------
        PanelError
            If `X` is malformed, or its index of another kind than in `fit`.
        ValueError
            If columns or names are not those of `fit`, or for bad `rows`.

        Warns
        -----
        HistoryWarning, PanelWarning
            As for `transform`, when it is called.

        Notes
        -----
        Functions of the user are called once, with the whole panel: sums that pandas
        keeps from row to row depend, in their last bits, on where the panel starts.
        """
        check_is_fitted(self)
        panel, index = self._locate(adopt_table(X))
        wanted = check_rows(rows, len(index))
        plan = self.plan_ if features is None else self.plan_.part(features)
        blocks = cut_rows(wanted, block_rows, plan.n_columns)
        panel, positions = self.history_.prepend(panel)
        market_data, names = None, self.plan_.market_data
        if features is None:
            market_data = fitted_market_data(self.market_data, panel.index, names)
        source = self._source(plan, panel, positions[wanted], market_data)
        columns = plan.index.view()

        def frames() -> Iterator[pd.DataFrame]:
            for block in blocks:
                # No name for the frame, which would keep it while the next is made.
                yield pd.DataFrame(
                    source.compute(block), index[wanted[block]], columns, copy=False
                )

        return frames()

    def missing_signals(self, X: PanelLike) -> dict[str, str]:
        """Name the signals that tickers with a price lack at the last row.

        Parameters
        ----------
        X : DataFrame, CheckedPanel or array-like of shape (n_dates, n_tickers)
            Panel, as for `transform`.

        Returns
        -------
        dict of str to str
            Ticker → such as ``"no earnings_yield (last known 40 rows ago)"``.
        """
        check_is_fitted(self)
        panel, _ = self._locate(adopt_table(X))
        tail = self.history_.tail
        joined = pd.concat([tail[tail.index < panel.index[0]], panel])
        return missing_at_end(joined, [f.signal for f in self.plan_.signals])

    def get_feature_names_out(
        self, input_features: Sequence[str] | np.ndarray | None = None
    ) -> np.ndarray:
        """Name the columns of the feature frame.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the panel's columns; they must be those of `fit`, if it saw any.

        Returns
        -------
        ndarray of str objects of shape (n_columns,)
            ``TICKER__feature``, feature by feature, then ``market__feature``.
        """
        check_is_fitted(self)
        check_feature_names_in(self, input_features)
        if input_features is None or hasattr(self, "feature_names_in_"):
            return self.plan_.columns()
        return self.plan_.columns([str(name) for name in input_features])

    def _check_columns(self, panel: pd.DataFrame, X: PanelLike, reset: bool) -> None:
        """Note the columns of a panel, or compare them, as scikit-learn does."""
        is_table = isinstance(X, (pd.DataFrame, CheckedPanel))
        named_before = not reset and is_table and hasattr(self, "feature_names_in_")
        if named_before and panel.columns.equals(self.history_.tail.columns):
            return  # scikit-learn compares names one by one
        named: Any = with_flat_names(panel) if is_table else panel.to_numpy()
        validate_data(self, named, reset=reset, skip_check_array=True)

    def _locate(self, X: PanelLike) -> tuple[pd.DataFrame, pd.Index]:
        """Check rows to transform, and find their place beside the fitted ones."""
        panel = checked_panel(X, warn_all_nan=False)
        self._check_columns(panel, X, reset=False)
        panel = encode_signals(panel, self.categories_)
        is_table = isinstance(X, (pd.DataFrame, CheckedPanel))
        return panel if is_table else self.history_.place(panel), panel.index

    def _fit(self, X: PanelLike) -> pd.DataFrame:
        """Choose the features of a panel, keep its last rows, and return it checked."""
        panel = checked_panel(X, warn_all_nan=True)
        tickers = tuple(panel_tickers(panel))
        functions = check_functions(self.functions)
        groups, categories = fixed_codes(self.groups, tickers), learn_categories(panel)
        table, panel = panel, encode_signals(panel, categories)
        groupings = list(group_codes(self.groups, groups, panel))
        check_cross_section(self.cross_section, groupings)
        windows = check_windows(self.windows)
        signals = choose_signals(
            self.signals, table, categories, windows, groupings, self.universe
        )
        self._validate_params()
        market_data = check_market_data(self.market_data, panel.index)
        plan = make_plan(
            self.families,
            windows,
            available_needs(panel, bool(groupings)),
            tickers,
            function_kinds(functions, panel, tickers, self.lookback or 0),
            () if market_data is None else market_data.columns,
            signals,
            self.cross_section,
            groupings,
            check_universe(self.universe, panel) is not None,
        )
        needed = plan.lookback + getattr(self.universe, "lookback", 0)
        lookback = check_lookback(self.lookback, needed)
        history = History.of(panel, lookback)
        history.warn_holes()
        warn_short(len(panel), plan.longest_window, lookback)
        # Nothing below fails: a fit that does leaves what was fitted before.
        self._check_columns(panel, X, reset=True)
        self.functions_, self.groups_, self.plan_ = functions, groups, plan
        self.categories_, self.lookback_, self.history_ = categories, lookback, history
        return panel

    def _extract(self, panel: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Compute the features of some rows of a panel, or look them up."""
        fitted = self.plan_.market_data
        market_data = fitted_market_data(self.market_data, panel.index, fitted)
        source = self._source(self.plan_, panel, rows, market_data)
        values = FEATURE_CACHE.get_or_compute(
            source.key, self.cache_size, source.shape(), source.compute_built_in
        )
        source.fill_called(values)
        return values

    def _source(
        self,
        plan: FeaturePlan,
        panel: pd.DataFrame,
        rows: np.ndarray,
        market_data: pd.DataFrame | None,
    ) -> FeatureSource:
        """Gather what the features of some rows of a panel are computed from."""
        called = call(self.functions_, panel, plan, rows)
        groups = group_codes(self.groups, self.groups_, panel)
        plan.check_groupings(groups)
        more = groups, check_universe(self.universe, panel)
        marks = group_marks(self.groups, groups, panel, rows)
        return FeatureSource(plan, panel, rows, called, market_data, *more, marks)

    def _wrap(self, values: np.ndarray, X: PanelLike) -> pd.DataFrame | np.ndarray:
        """Return features in the container of the panel."""
        if not isinstance(X, (pd.DataFrame, CheckedPanel)):
            return values
        index = X.frame.index if isinstance(X, CheckedPanel) else X.index
        return self.plan_.frame(values, index)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
