//! Who may call what: the one table, which is the guard's source and the tests' measure. What is not in it is refused.

/// What a caller must be at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nobody in particular.
    Anyone,
    /// A defender whose host is known and not revoked; nobody else.
    Defender,
    /// Who may read.
    Auditor,
    /// Who may change rules, models, services and hosts.
    Operator,
    /// Who may change users, API tokens, alert channels and settings.
    Admin,
}

use Needs::{Admin, Anyone, Auditor, Defender, Operator};

/// Service → call → what it needs.
pub(crate) const TABLE: &[(&str, &[(&str, Needs)])] = &[
    ("cnnf.v1.EnrollmentService", &[("Enroll", Anyone)]),
    ("cnnf.v1.DefenderService", &[("Attach", Defender), ("Renew", Defender)]),
    ("cnnf.v1.StatusService", &[("GetStatus", Auditor)]),
    (
        "cnnf.v1.TopologyService",
        &[
            ("ListServices", Auditor),
            ("GetService", Auditor),
            ("SetServiceMode", Operator),
            ("ListEdges", Auditor),
            ("GetRadar", Auditor),
            ("DiffEdges", Auditor),
            ("GetHistory", Auditor),
            ("GetReach", Auditor),
        ],
    ),
    (
        "cnnf.v1.PolicyService",
        &[
            ("ListRules", Auditor),
            ("AddRule", Operator),
            ("UpdateRule", Operator),
            ("MoveRule", Operator),
            ("DeleteRule", Operator),
            ("ApplyPolicy", Operator),
            ("ListObjects", Auditor),
            ("AddObject", Operator),
            ("DeleteObject", Operator),
            ("ListRevisions", Auditor),
            ("GetRevision", Auditor),
            ("RollbackPolicy", Operator),
            ("ConfirmPolicy", Operator),
            ("SimulatePolicy", Auditor),
            ("LintPolicy", Auditor),
            ("SuggestRules", Auditor),
            ("Explain", Auditor),
        ],
    ),
    (
        "cnnf.v1.ModelService",
        &[
            ("ListModels", Auditor),
            ("GetModel", Auditor),
            ("ActivateModel", Operator),
            ("RelearnModel", Operator),
            ("ResetModel", Operator),
            ("StartLearning", Operator),
            ("StopLearning", Operator),
            ("ApproveEdge", Operator),
            ("ForgetEdge", Operator),
            ("SetAnomalyEffect", Operator),
        ],
    ),
    (
        "cnnf.v1.EventService",
        &[("ListEvents", Auditor), ("GetEvent", Auditor), ("WatchEvents", Auditor), ("AcknowledgeEvent", Operator)],
    ),
    (
        "cnnf.v1.FleetService",
        &[
            ("ListDefenders", Auditor),
            ("SetDefenderMode", Operator),
            ("RevokeDefender", Operator),
            ("DeleteDefender", Operator),
            ("CreateToken", Operator),
        ],
    ),
    ("cnnf.v1.SettingsService", &[("GetSettings", Auditor), ("SetSetting", Admin)]),
    (
        "cnnf.v1.DefinitionService",
        &[
            ("ListDefinitions", Auditor),
            ("SetDefinition", Operator),
            ("DeleteDefinition", Operator),
            ("PreviewDefinition", Auditor),
        ],
    ),
    (
        "cnnf.v1.SessionService",
        &[
            ("GetSignInOptions", Anyone),
            ("SignIn", Anyone),
            ("SignOut", Anyone),
            ("GetSession", Auditor),
            ("ChangePassword", Auditor),
        ],
    ),
    (
        "cnnf.v1.UserService",
        &[("ListUsers", Auditor), ("AddUser", Admin), ("UpdateUser", Admin), ("DeleteUser", Admin)],
    ),
    ("cnnf.v1.ApiTokenService", &[("ListTokens", Auditor), ("CreateToken", Admin), ("RevokeToken", Admin)]),
    (
        "cnnf.v1.ChannelService",
        &[
            ("ListChannels", Auditor),
            ("AddChannel", Admin),
            ("UpdateChannel", Admin),
            ("DeleteChannel", Admin),
            ("TestChannel", Admin),
        ],
    ),
    ("cnnf.v1.WatchService", &[("WatchChanges", Auditor)]),
    ("cnnf.v1.AuditService", &[("ListAudit", Auditor), ("VerifyAudit", Auditor)]),
    ("grpc.health.v1.Health", &[("Check", Anyone), ("Watch", Anyone), ("List", Anyone)]),
    ("grpc.reflection.v1.ServerReflection", &[("ServerReflectionInfo", Anyone)]),
    ("grpc.reflection.v1alpha.ServerReflection", &[("ServerReflectionInfo", Anyone)]),
];

/// Calls that a session may make whose password must be changed first.
pub(crate) const BEFORE_A_NEW_PASSWORD: &[&str] = &[
    "/cnnf.v1.SessionService/GetSignInOptions",
    "/cnnf.v1.SessionService/SignIn",
    "/cnnf.v1.SessionService/SignOut",
    "/cnnf.v1.SessionService/GetSession",
    "/cnnf.v1.SessionService/ChangePassword",
];

/// What a path such as `/cnnf.v1.StatusService/GetStatus` needs; `None` if it is not in the table.
pub(crate) fn needs_of(path: &str) -> Option<Needs> {
    let (service, call) = path.strip_prefix('/')?.split_once('/')?;
    let (_, calls) = TABLE.iter().find(|(name, _)| *name == service)?;
    calls.iter().find(|(name, _)| *name == call).map(|(_, needs)| *needs)
}

/// Whether a call changes something that people decide: what needs more than an auditor, and the own password.
pub(crate) fn is_write(path: &str) -> bool {
    matches!(needs_of(path), Some(Operator | Admin)) || path == "/cnnf.v1.SessionService/ChangePassword"
}

/// Whether a call's answer has a secret, which is never written to the disk.
pub(crate) fn answers_with_a_secret(path: &str) -> bool {
    ["/cnnf.v1.FleetService/CreateToken", "/cnnf.v1.ApiTokenService/CreateToken"].contains(&path)
}
