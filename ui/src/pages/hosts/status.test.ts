import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { DefenderSchema } from "~/gen/cnnf/v1/admin_pb";
import { HOST_FIELDS, policyState } from "./status";

const host = (outcome: string, desired: bigint, applied: bigint) =>
  create(DefenderSchema, { outcome, desiredGeneration: desired, appliedGeneration: applied });

test("a host whose kernel refused its table is degraded", () => {
  expect(policyState(host("applied", 6n, 6n))).toBe("applied");
  expect(policyState(host("applied", 7n, 6n))).toBe("behind");
  expect(policyState(host("failed", 6n, 0n))).toBe("degraded");
  expect(policyState(host("refused", 6n, 0n))).toBe("failed");
  expect(policyState(host("reverted", 6n, 0n))).toBe("failed");
  const is = HOST_FIELDS.find(({ key }) => key === "is");
  expect(is?.of(host("failed", 6n, 0n))).toContain("degraded");
  expect(is?.words).toContain("degraded");
});
