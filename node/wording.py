"""Labels: what is said when nothing is wrong. They stand beside the errors in `schemas.texts`, as `LABELS`."""

Label = tuple[str, str]  # Chinese, English


def say(label: Label, language: str, **details: object) -> str:
    """The label in one language (`zh` or `en`), its `{places}` filled."""
    return label[0 if language == "zh" else 1].format(**details)
