"""What is said of a verdict to the outside: a finished Run, as a CloudEvents 1.0 event or as a message for Slack.

Pure: an API tree in, a JSON tree out. CloudEvents: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md;
the form is the structured one of its JSON format. An event's `id` is the Run's uid, so that one sent twice is known.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

Tree = dict[str, Any]
Format = Literal["cloudevents", "slack"]
TYPE = "dev.aftershock.run.finished.v1"
SIGNS = {
    "Passed": ":white_check_mark:",
    "Failed": ":x:",
    "Inconclusive": ":grey_question:",
    "Aborted": ":no_entry:",
    "Error": ":boom:",
}
_TOLD = ("verdict", "era", "verdicts", "because", "rto", "journal", "started", "finished")


def cloud_event(run: Mapping[str, Any]) -> Tree:
    """Return the event that a run has finished."""
    meta, status = run["metadata"], run.get("status") or {}
    return {
        "specversion": "1.0",
        "id": meta["uid"],
        "source": f"/apis/aftershock.dev/v1alpha1/namespaces/{meta['namespace']}/runs",
        "type": TYPE,
        "subject": meta["name"],
        **({"time": status["finished"]} if status.get("finished") else {}),
        "datacontenttype": "application/json",
        "data": _data(run),
    }


def _data(run: Mapping[str, Any]) -> Tree:
    meta, spec, status = run["metadata"], run["spec"], run.get("status") or {}
    conditions = [
        {key: each.get(key) for key in ("type", "status", "reason", "message")}
        for each in status.get("conditions") or []
    ]
    return {
        "run": meta["name"],
        "namespace": meta["namespace"],
        "experiment": spec["experiment"],
        "stack": spec["stack"],
        **{key: status[key] for key in _TOLD if status.get(key)},
        "conditions": conditions,
    }


def slack(run: Mapping[str, Any]) -> Tree:
    """Return the message for an incoming webhook of Slack; `text` is what notifications show."""
    data = _data(run)
    verdict = str(data.get("verdict", "Error"))
    where = f"{data['namespace']}/{data['run']}"
    head = f"{SIGNS.get(verdict, '')} *{verdict}*: {_plain(where)}".strip()
    facts = [("Experiment", "experiment"), ("Stack", "stack"), ("Era", "era"), ("RTO", "rto")]
    fields = [{"type": "mrkdwn", "text": f"*{name}*\n{_plain(str(data[key]))}"} for name, key in facts if data.get(key)]
    blocks: list[Tree] = [{"type": "section", "text": {"type": "mrkdwn", "text": head}, "fields": fields}]
    if because := data.get("because"):
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": _plain(str(because))[:LONGEST]}})
    return {"text": f"{verdict}: {_plain(where)}", "blocks": blocks}


LONGEST = 3000
"""Characters that Slack takes in one text."""


def _plain(text: str) -> str:
    """Return text that Slack shows as it is: its three characters escaped, so that nobody is mentioned and nothing linked."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


FORMATS: dict[Format, tuple[str, Callable[[Mapping[str, Any]], Tree]]] = {
    "cloudevents": ("application/cloudevents+json", cloud_event),
    "slack": ("application/json", slack),
}
"""Content type, and what makes the body."""
