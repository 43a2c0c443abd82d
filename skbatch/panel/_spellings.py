"""What vendors call dates, tickers, prices and fields: the one table of spellings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterable
from functools import lru_cache

FIELDS = ("Open", "High", "Low", "Close", "Volume")
ADJUSTED = "Adj Close"
UNADJUSTED = "Unadjusted Close"
PRICE = "Price"  # the close, unless there is another
EXTRA = "extra"  # what vendors put beside prices, and panels do not hold
OTHER = "other"  # no ticker, but nothing that a panel holds either

# Prices beside the bars, and past returns: no tickers, and no signals either.
_DERIVED = """vwap vw vwapprice averageprice avgprice weightedprice change changepercent
    chg pctchg pctchange pctchange1d preclose prevclose previousclose yclose net
    changeovertime ret retx dlyret bidprice askprice bid ask mid return returns
    dailyreturn logreturn 涨跌幅"""

# Names are compared without case, accents, spaces, punctuation, a number in front
# ("5. adjusted close") and remarks in brackets ("Close (USD)"): see `plain`.
_FIELD_SPELLINGS = {
    "Open": """open openprice priceopen openingprice pxopen openprc prcod dlyopen
        dayopen opening eroffnung eroeffnung erster ouverture ouv apertura abertura
        开盘 开盘价 始値""",
    "High": """high highprice pricehigh pxhigh askhi prchd dlyhigh dayhigh hoch haut
        maximo maxima massimo high1 最高 最高价 高値""",
    "Low": """low lowprice pricelow pxlow bidlo prcld dlylow daylow tief bas minimo
        minima low1 最低 最低价 安値""",
    "Close": """close closeprice priceclose closingprice pxlast pxclose
        pxofficialclose officialclose prc prccd dlyclose dlyprc closelast settle
        settlement settleprice settlementprice pxsettle lastprice lasttrade trdprc1
        cflast cfclose schluss schlusskurs cloture clot dernier cierre ultimo
        chiusura fechamento 收盘 收盘价 終値 closeclosepriceadjustedforsplits""",
    "Volume": """volume vol volumes pxvolume volumen sharestraded tradedvolume
        volumetraded totalvolume shvol dlyvol cshtrd acvoluns acvol1 totalqty
        totaltradedquantity quantity umsatz 成交量 出来高""",
    ADJUSTED: """adjclose adjustedclose closeadj closeadjusted adjusted adj
        adjcloseprice adjclosing adjclosingprice adjustedcloseprice
        adjustedclosingprice closepriceadjusted adjprice adjustedprice priceadj
        priceadjusted pxlastadj pxadj adjprc adjpxlast adjlast adjlastprice
        lastadjusted closeadjustedprice fclose splitanddividendadjustedclose
        adjcloseadjustedclosepriceadjustedforsplitsanddividendandorcapitalgaindistributions""",
    UNADJUSTED: """closeunadj unadjustedclose unadjclose closeunadjusted rawclose
        closeraw uclose nonadjustedclose""",
    "Adj Open": "adjopen adjustedopen openadj openadjusted",
    "Adj High": "adjhigh adjustedhigh highadj highadjusted",
    "Adj Low": "adjlow adjustedlow lowadj lowadjusted",
    "Adj Volume": "adjvolume adjustedvolume volumeadj volumeadjusted",
    PRICE: "price prices value values last kurs cours precio preco prezzo",
    EXTRA: """dividends dividend dividendamount divcash exdividend stocksplits
        stocksplit splitcoefficient splitfactor splitratio splits capitalgains
        repaired unadjopen unadjhigh unadjlow unadjvolume openunadj highunadj
        lowunadj volumeunadj uopen uhigh ulow uvolume""",
    OTHER: f"""{_DERIVED} trades numberoftrades numtrades tradecount ntrades
        transactions numberoftransactions count amount turnover dollarvolume quotevolume
        openinterest oi shrout marketcap marketcapitalization mktcap shares
        sharesoutstanding outstandingshares capitalization capitalisation
        marketcapitalisation bidsize asksize spread per tickvol numtrd flow 成交额""",
}
_FIELD = {
    spelling: field
    for field, spellings in _FIELD_SPELLINGS.items()
    for spelling in spellings.split()
}
CLOSES = {"Close", ADJUSTED, UNADJUSTED}
# Fields only among each other: C and V are tickers, too.
_LETTERS = {
    "o": "Open",
    "h": "High",
    "l": "Low",
    "c": "Close",
    "v": "Volume",
    "n": OTHER,
    "t": OTHER,
}

_COLUMN_SPELLINGS = {
    "dates": """date datetime timestamp time day dates tradedate tradingdate tradingday
        caldt dlycaldt datadate datum fecha pricedate quotedate exchangedate
        observationdate asofdate valuedate dtyyyymmdd opentime gmttime localtime utctime
        unixtime snappedat beginsat 日期 交易日期""",
    # Some of these are tickers: they count where there are dates in the column.
    "maybe dates": "t dt ts data unix epoch period month week asof session bar",
    "parts of dates": "year quarter month week weekday dayofweek hour",
    "tickers": """ticker tickers symbol symbols asset security instrument name code sid
        permno""",
    # Some of these are tickers: they count where there is text in the column.
    "maybe tickers": """tic ric isin cusip sedol wkn figi gvkey stock coin pair tscode
        secid assetid actsymbol instrumentid underlying 代码 股票代码""",
}
_COLUMNS = {kind: set(text.split()) for kind, text in _COLUMN_SPELLINGS.items()}
_ROW_NUMBERS = {"", "index", "rownr", "row", "rownumber", "rowid", "rownames", "obs"}
_ROW_NUMBER_WORDS = re.compile(r"unnamed|index|level|row|obs|^\s*$", re.I | re.M)
_SAVED_INDEX = re.compile(r"(unnamed|level|indexlevel|index)\d*")

_MAYBE_ADJUSTED = re.compile(
    r"(?<!un)(?<!non)(?<!not)(adj|bereinigt|ajust|aggiust)|(?<!未)(調整|调整)"
    r"|fac(pr|shr)|^(cum)?factor$|ajex|^trfd$"
    r"|tot(al)?ret|(close|price|px|last)tr$|qfq|hfq|(?<!不)复权"
)


@lru_cache(maxsize=65536)
def plain(name: Hashable) -> str:
    """Reduce a name to what spellings share ("5. Adj. Close*" → "adjclose")."""
    if not isinstance(name, str):
        return ""
    text = unicodedata.normalize("NFKD", name.strip().casefold())
    text = re.sub(r"^\d+[a-z]?\s*[.:)]\s*", "", text)
    text = re.sub(
        r"[_\s]*[(\[](?![^)\]]*(?:adj|ajust|bereinigt))[^)\]]*[)\]]\W*$", "", text
    )
    return "".join(letter for letter in text if letter.isalnum())


def canonical_field(name: Hashable) -> str | None:
    """Spell a field as panels do ("adj_close" → "Adj Close"), None if unknown."""
    text = plain(name)
    if text not in _FIELD and "volume" in text:
        return OTHER
    return _FIELD.get(text)


def canonical_fields(names: Iterable[Hashable]) -> list[str | None]:
    """Spell fields as panels do, also o, h, l, c and v where they stand together."""
    names = list(names)
    fields = [canonical_field(name) for name in names]
    letters = {n: name for n, name in enumerate(names) if plain(name) in _LETTERS}
    found = {plain(name) for name in letters.values()}
    alone = all(field for n, field in enumerate(fields) if n not in letters)
    lower = all(str(name).islower() for name in letters.values())
    if "c" in found and sum([alone, lower, {"o", "h", "l"} <= found]) > 1:
        for number, name in letters.items():
            fields[number] = _LETTERS[plain(name)]
    return fields


def is_spelled(name: Hashable) -> bool:
    """Return whether a name is the spelling of a field as a whole."""
    return plain(name) in _FIELD


def is_letter(name: Hashable) -> bool:
    """Return whether a name is one of the letters that may mean a field."""
    return plain(name) in _LETTERS


def is_derived(name: Hashable) -> bool:
    """Return whether a field repeats what prices hold: another price, or a return."""
    return plain(name) in _DERIVED.split()


def is_value(name: Hashable) -> bool:
    """Return whether a name may mean the price, or just as well any other value."""
    return plain(name) in {"value", "values"}


def has_close(names: Iterable[Hashable]) -> bool:
    """Return whether a close, adjusted or not, is among the names."""
    return not CLOSES.isdisjoint(canonical_fields(names))


def may_be_adjusted(name: Hashable) -> bool:
    """Return whether an unknown field may be an adjusted price, or a factor of one."""
    return canonical_field(name) in (None, OTHER) and bool(
        _MAYBE_ADJUSTED.search(plain(name))
    )


def is_date_name(name: Hashable, *, maybe: bool = False) -> bool:
    """Return whether a column of this name usually holds dates, or may hold some."""
    return plain(name) in _COLUMNS["maybe dates" if maybe else "dates"]


def is_date_part(name: Hashable) -> bool:
    """Return whether a column is named like a part of dates."""
    return plain(name) in _COLUMNS["parts of dates"]


def is_ticker_name(name: Hashable, *, maybe: bool = False) -> bool:
    """Return whether a column of this name usually holds tickers, or may hold some."""
    return plain(name) in _COLUMNS["maybe tickers" if maybe else "tickers"]


def find_row_numbers(names: Iterable[Hashable]) -> list[int]:
    """Find names of an index that was saved with a table, by number."""
    texts = [name if isinstance(name, str) else "-" for name in names]
    if not _ROW_NUMBER_WORDS.search("\n".join(texts)):
        return []
    numbers = [n for n, name in enumerate(names) if isinstance(name, str)]
    return [
        number
        for number in numbers
        if plain(texts[number]) in _ROW_NUMBERS
        or _SAVED_INDEX.fullmatch(plain(texts[number]))
    ]
