export const keys = {
  title: "Keys and help",
  keys: "Keys",
  filter: "The filter",
  table: [
    ["/", "go to the filter"],
    ["↑ ↓", "from row to row"],
    ["Home End", "to the first, to the last"],
    ["Enter", "open what the row is of"],
  ],
  rules: [
    ["Alt ↑ Alt ↓", "move the rule; its grip does the same by hand"],
    ["E", "change the rule"],
    ["Del", "delete it, in the draft"],
  ],
  everywhere: [
    ["Esc", "close what is open"],
    ["?", "this"],
  ],
  filters: [
    ["word", "in a name or any other text of the row"],
    ["key:value", "in one column; the field offers keys and values"],
    ["-key:value", "leave these out"],
    ['"two words"', "as one"],
    ["web*", "anything that begins so"],
  ],
} as const;
