"""A project with a task of every kind that makes rows, and files of tests of it."""

from __future__ import annotations

from harness import Project, Result

PIPELINE = """\
version: 1
name: shop
vars: {least: 10}
tasks:
  orders:
    transform: tabular.read
    params: {path: data/*.csv}
    key: [id]
    expect: [{schema: {id: BIGINT, day: DATE, amount: "DECIMAL(10,2)", customer: VARCHAR}}, {row_count: {min: 100}}]
  customers:
    transform: tabular.read
    params: {path: customers/*.csv}
  big:
    transform: tabular.sql
    tags: [money]
    params: {sql: "select id, day, amount, customer from orders where amount >= ${var:least}"}
    key: [id]
    expect:
      - {not_null: customer, severity: quarantine, max_fraction: 0.5}
      - {row_count: {min: 1000}}
      - {relationship: {column: customer, to: customers.name}}
  days:
    transform: tabular.sql
    materialize: view
    params: {sql: "select day, sum(amount) as total, count(*) as n from orders group by day"}
  sizes:
    transform: tabular.sql
    params: {sql: "select length(name) as n from customers"}
  filtered:
    transform: tabular.filter
    inputs: [orders]
    params: {where: "customer = 'ada'"}
  doubled:
    transform: tabular.python
    inputs: [orders]
    params: {function: "steps:double", args: {by: 2}}
  region:
    transform: tabular.sql
    matrix: {name: [north, south]}
    params: {sql: "select id, '${matrix:name}' as place from orders"}
  regions:
    transform: tabular.sql
    inputs: [region]
    params: {sql: "select name, count(*) as n from region group by name order by n desc, name"}
  chunks:
    transform: document.chunk
    inputs: [pages]
    params: {size: 40}
  pages:
    transform: document.files
    params: {path: pages/*.md}
  shout:
    transform: local.shout
    inputs: [orders]
  report:
    transform: tabular.write
    inputs: [big]
    params: {path: out/big.csv}
imports: [./own.py]
"""
OWN = """\
import pyarrow.compute as pc
from mmetl import Items, register_transform


@register_transform("local.shout", items=Items(reads=["customer"], makes={"loud": "string"}))
def shout(batch):
    return {"loud": pc.utf8_upper(batch["customer"])}
"""
PYTHON = """\
import pyarrow.compute as pc


def double(orders, by):
    print("doubling")
    return orders.append_column("twice", pc.multiply(pc.cast(orders["amount"], "float64"), by)).select(["id", "twice"])
"""


def make_shop(project: Project) -> Project:
    """Write it."""
    project.write("pipeline.yaml", PIPELINE)
    project.write("own.py", OWN)
    project.write("steps.py", PYTHON)
    return project


def given(project: Project, tests: str, head: str = "version: 1\n") -> Result:
    """Write a file of tests, and run them."""
    project.write("mmetl_tests/shop.yaml", f"{head}tests:\n{tests}")
    return project.fast("test")
