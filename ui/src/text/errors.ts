export const errors = {
  unreachable: "The controller cannot be reached.",
  notAllowed: "Your role does not allow this.",
  signedOut: "You are signed out.",
  changedMeanwhile: "Somebody changed this meanwhile. Load it again, then repeat your change.",
  unknown: "The controller did not say what went wrong.",
  pageBroke: "This page broke",
  pageBrokeHelp: "The rest still works. What it said:",
  tryAgain: "Try again",
};
