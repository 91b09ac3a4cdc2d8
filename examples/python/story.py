#!/usr/bin/env python3
"""The whole story over the API: services are listed, a rule alerts, its event names the process, the rule prevents, and all is undone.

    python3 story.py ADMIN.TOML CLIENT SERVER PORT      such as: story.py admin.toml unit:client unit:nginx tcp/80

The client has to talk to the server by itself, again and again; both hosts enforce. Exits with 0 when everything was as it should be.
"""

import sys

import grpc

from cnnf import Controller, pages, within


def main(admin, client, server, port):
    controller = Controller(admin)
    policy, events, topology = controller.PolicyService, controller.EventService, controller.TopologyService

    services = {service.key: service for service in pages(topology.ListServices, "services")}
    for key, service in services.items():
        print(f"{key} on {', '.join(instance.host for instance in service.instances)}")
    within(20, "the edge", lambda: topology.ListEdges(**{"from": client, "to": server}).edges)

    before = policy.ListRules().revision
    rule = policy.AddRule(
        rule={"name": "watch", "enabled": True, "from": client, "to": server, "ports": [port], "effect": "alert"},
        reason="to see who it is",
    )
    print(f"rule '{rule.name}' is revision {rule.revision}")
    try:
        # A wrong question is refused as a whole, and says which field is wrong.
        try:
            policy.AddRule(rule={"name": "wrong", "enabled": True, "from": client, "to": server, "effect": "deny"})
            sys.exit("error: a rule with an unknown effect was taken")
        except grpc.RpcError as refused:
            assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT, refused
            print(f"refused as it should be: {refused.details()}")

        alert = within(15, "an alert", lambda: newest(events, "rule_alert", client, rule.name))
        print(f"event {alert.id}: {alert.process.exe} ({alert.process.pid}) of {alert.client.service}")
        assert alert.process.exe, "the process is known"

        policy.UpdateRule(rule=str(rule.id), fields=["effect"], values={"effect": "prevent"}, reason="enough")
        prevented = within(15, "a prevention", lambda: newest(events, "rule_prevent", client, rule.name))
        print(f"event {prevented.id}: prevented, {prevented.count} times")
    finally:
        undone = policy.RollbackPolicy(revision=before, reason="the story is told")
        print(f"rolled back to revision {before}, as revision {undone.revision}")
    assert all(left.name != rule.name for left in policy.ListRules().rules)


def newest(events, kind, client, rule):
    """The newest event of this kind of the rule, if there is one."""
    found = events.ListEvents(kind=kind, service=client, page={"size": 100}).events
    return next((event for event in found if event.rule == rule), None)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
