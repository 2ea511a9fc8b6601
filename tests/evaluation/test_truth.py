"""A truth file is a long table, and a wrong one is refused with its row and the fix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from depara.errors import SchemaError, StoreError
from depara.evaluation import Truth, load_truth

ROWS = "target,source,value\nb,a,0.5\na,b,1e-3\n"


def csv(folder: Path, text: str) -> str:
    path = folder / "truth.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_csv_and_parquet_give_the_same_sorted_table(tmp_path: Path) -> None:
    from_csv = load_truth(csv(tmp_path, ROWS))
    pd.DataFrame({"value": [0.5, 0.001], "source": ["a", "b"], "target": ["b", "a"]}).to_parquet(
        tmp_path / "truth.parquet"
    )
    from_parquet = load_truth(f"file://{tmp_path}/truth.parquet")
    expected = [("a", "b", 0.001), ("b", "a", 0.5)]
    assert list(from_csv.table.itertuples(index=False, name=None)) == expected
    assert list(from_parquet.table.itertuples(index=False, name=None)) == expected
    assert from_csv.kind == "models"
    assert from_csv.keys == ["target", "source"]


def test_a_layer_column_makes_a_truth_of_layers(tmp_path: Path) -> None:
    text = "target,source,layer,value\nt,s,layer2,2\nt,s,layer1,1\n"
    truth = load_truth(csv(tmp_path, text))
    assert truth.kind == "layers"
    assert truth.table["layer"].tolist() == ["layer1", "layer2"]


def test_names_stay_texts_and_blanks_and_a_mark_of_order_are_taken_off(tmp_path: Path) -> None:
    truth = load_truth(csv(tmp_path, "\ufefftarget, source, value\n 007, NA , 1\n"))
    assert truth.table.iloc[0].tolist() == ["007", "NA", 1.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target,source,affinity\na,b,1\n", "no column 'value'.*got target, source, affinity"),
        ("target,source,values\na,b,1\n", "no column 'value'; did you mean 'values'"),
        ("target,source,layers,value\na,b,c,1\n", "unknown column 'layers'; did you mean 'layer'"),
        ("target,source,value,value \na,b,1,2\n", "a column twice"),
        ("target,source,value\na,b,1\na,b,2\n", r"1 transfers more than once.*a / b"),
        ("target,source,value\na,b,1\nb,a,good\n", "no finite numbers in row 2: 'good'"),
        ("target,source,value\na,b,inf\nb,a,nan\n", "in rows 1, 2: 'inf', 'nan'"),
        ("target,source,value\na,,1\n", "no source in row 1"),
        ("target,source,value\n", "holds no transfers"),
        ("target,source,value\na,b,1,7\nb,a,2,8\n", "more fields than its header"),
        ("target,source,value\na,b,1\nb,a,2,8\n", "is no CSV .*Expected 3 fields in line 3"),
        ("", "is no CSV"),
    ],
)
def test_a_wrong_table_is_refused_with_the_fix(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        load_truth(csv(tmp_path, text))


REPEATED = """target,source,repeat,value
t,a,1,0.1
t,a,2,0.3
t,b,2,0.7
t,b,1,0.6
t,t,2,1
u,a,x,5
"""


def test_repeats_become_their_mean_and_are_kept(tmp_path: Path) -> None:
    truth = load_truth(csv(tmp_path, REPEATED))
    assert (truth.table["target"] + truth.table["source"]).tolist() == ["ta", "tb", "tt", "ua"]
    assert truth.table["value"].tolist() == pytest.approx([0.2, 0.65, 1.0, 5.0])
    assert truth.keys == ["target", "source"]
    assert truth.repeats is not None
    assert truth.repeats[["source", "repeat"]].head(3).values.tolist() == [
        ["a", "1"],
        ["a", "2"],
        ["b", "1"],
    ]
    assert load_truth(csv(tmp_path, ROWS)).repeats is None


def test_equal_repeats_in_another_order_make_equal_means() -> None:
    values = {"a": (0.1, 0.2, 0.3), "b": (0.3, 0.2, 0.1), "c": (0.2, 0.3, 0.1)}
    rows = [
        ("t", source, str(repeat), value)
        for source, three in values.items()
        for repeat, value in enumerate(three)
    ]
    truth = Truth(pd.DataFrame(rows, columns=["target", "source", "repeat", "value"]))
    assert truth.table["value"].nunique() == 1


def test_a_transfer_that_some_repeats_lack_is_refused_by_name(tmp_path: Path) -> None:
    text = REPEATED.replace("t,b,2,0.7\n", "")
    with pytest.raises(SchemaError, match=r"1 transfers .* \(target / source: t / b lacks 2\)"):
        load_truth(csv(tmp_path, text))
    with pytest.raises(SchemaError, match=r"more than once .*column 'repeat'"):
        load_truth(csv(tmp_path, "target,source,value\na,b,1\na,b,2\n"))
    with pytest.raises(SchemaError, match=r"more than once .*a / b / 1"):
        load_truth(csv(tmp_path, "target,source,repeat,value\na,b,1,1\na,b,1,2\n"))
    with pytest.raises(SchemaError, match="no repeat in row 1"):
        load_truth(csv(tmp_path, "target,source,repeat,value\na,b,,1\n"))


def test_missing_names_and_values_of_parquet_are_refused() -> None:
    table = pd.DataFrame({"target": ["a", None], "source": ["b", "a"], "value": [1.0, 2.0]})
    with pytest.raises(SchemaError, match="no target in row 2"):
        Truth(table)
    counted = pd.DataFrame({"target": ["a"], "source": ["b"], "value": pd.array([None], "Int64")})
    with pytest.raises(SchemaError, match="no finite numbers in row 1"):
        Truth(counted)


def test_a_file_that_is_absent_or_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no truth file .*absent\.csv"):
        load_truth(str(tmp_path / "absent.csv"))
    (tmp_path / "truth.parquet").write_bytes(b"no parquet")
    with pytest.raises(SchemaError, match="is no CSV"):
        load_truth(str(tmp_path / "truth.parquet"))
    with pytest.raises(StoreError, match="cannot read"):
        load_truth(str(tmp_path))


def test_the_given_table_is_not_changed() -> None:
    table = pd.DataFrame({"target": ["b", "a"], "source": ["a", "b"], "value": [1, 2]})
    before = table.copy()
    assert Truth(table).table["value"].dtype == np.float64
    pd.testing.assert_frame_equal(table, before)
