"""Holds objects against the schemas of Kubernetes and of the Prometheus Operator; what these do not know is an error.

    python schemas.py FILE VERSION...
"""

import sys

import kubernetes_validate
import yaml

file, *versions = sys.argv[1:]
wrong = []
for item in yaml.safe_load_all(open(file)):
    if item is None:
        continue
    name = f"{item.get('kind')} {item.get('metadata', {}).get('name')}"
    if item["apiVersion"] == "monitoring.coreos.com/v1":
        # The models drop what they do not know: then something is missing behind them.
        from cloudcoil.models.prometheus_operator import v1

        read = getattr(v1, item["kind"]).model_validate(item)
        kept = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if kept != item:
            wrong.append(f"{name}: {kept} is left of {item}")
        continue
    for version in versions:
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except Exception as error:
            wrong.append(f"{name}, {version}: {error}")
print("\n".join(wrong))
sys.exit(1 if wrong else 0)
