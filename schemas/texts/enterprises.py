"""Enterprises, units, industries, prefixes and the decisions on them."""

from schemas.texts.table import Text

TEXTS: dict[str, Text] = {
    "industry_malformed": Text(
        "行业“{text}”须写成四级代码，例如 C/34/344/3441。",
        "The industry “{text}” must be four codes, such as C/34/344/3441.",
        "依次填写 GB/T 4754-2017 的门类、大类、中类和小类。",
        "Give section, division, group and class of GB/T 4754-2017.",
    ),
    "industry_unknown": Text(
        "GB/T 4754-2017 中没有行业代码 {industry}。",
        "GB/T 4754-2017 has no industry {industry}.",
        "请核对国民经济行业分类。",
        "Check the national classification of industries.",
    ),
    "industry_wrong_parent": Text(
        "行业代码 {industry} 不属于上一级 {parent}。",
        "The industry {industry} does not belong to {parent}.",
        "请核对门类、大类、中类和小类是否一致。",
        "Check that section, division, group and class fit each other.",
    ),
}
