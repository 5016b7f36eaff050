/// How an engine runs.
public struct EngineConfiguration: Sendable {
    /// A snapshot is saved each time an entity passes a multiple of this many events; nil for none.
    public var snapshotInterval: Int?
    /// What is deleted after a snapshot was saved.
    public var retention: Retention
    /// When an entity leaves memory.
    public var passivation: Passivation
    /// How appends are gathered; the default needs no timer.
    public var batching: Batching
    /// What happens to an entity that fails.
    public var supervision: Supervision
    /// How often a command is run again after another process wrote to its entity; at least 0.
    public var conflictRetries: Int

    /// A configuration with the given parts.
    public init(
        snapshotInterval: Int? = nil, retention: Retention = Retention(), passivation: Passivation = Passivation(),
        batching: Batching = Batching(), supervision: Supervision = .restart(limit: 5, within: .seconds(60)),
        conflictRetries: Int = 16
    ) {
        self.snapshotInterval = snapshotInterval.map { max(1, $0) }
        self.retention = retention
        self.passivation = passivation
        self.batching = batching
        self.supervision = supervision
        self.conflictRetries = max(0, conflictRetries)
    }
}

/// What is deleted after a snapshot was saved, which it is only where it decodes to the state that it was made from.
public struct Retention: Sendable, Hashable {
    /// Delete the events that the snapshot includes.
    public var deleteEventsOnSnapshot: Bool
    /// Delete the snapshots before the new one.
    public var deleteSnapshotsOnSnapshot: Bool
    /// How many of the events that the snapshot includes are kept all the same; at least 0.
    public var eventsRetentionCount: Int

    /// A policy with the given parts; nothing is deleted by default.
    public init(
        deleteEventsOnSnapshot: Bool = false, deleteSnapshotsOnSnapshot: Bool = false, eventsRetentionCount: Int = 0
    ) {
        self.deleteEventsOnSnapshot = deleteEventsOnSnapshot
        self.deleteSnapshotsOnSnapshot = deleteSnapshotsOnSnapshot
        self.eventsRetentionCount = max(0, eventsRetentionCount)
    }
}

/// When an entity leaves memory. One with a command under way never does.
public struct Passivation: Sendable, Hashable {
    /// After this long without a command or a read; nil for never.
    public var idleTime: Duration?
    /// When more than this many are in memory, the least recently used leave, approximately; nil for no limit.
    public var maximumActive: Int?

    /// A policy with the given parts.
    public init(idleTime: Duration? = .seconds(120), maximumActive: Int? = 100_000) {
        self.idleTime = idleTime
        self.maximumActive = maximumActive.map { max(1, $0) }
    }
}

/// How appends of many commands are gathered into one transaction.
///
/// By default nobody waits: while one transaction commits, the next commands collect. A threshold makes the first of a
/// group wait until that many are there, or until the window is over.
public struct Batching: Sendable, Hashable {
    /// How many commands to wait for; 1 waits for none.
    public var batchThreshold: Int
    /// How long to wait for them.
    public var flushWindow: Duration
    /// The most commands in one transaction; at least 1.
    public var maximumCommands: Int

    /// A policy with the given parts.
    public init(
        batchThreshold: Int = 1, flushWindow: Duration = .milliseconds(2), maximumCommands: Int = 1_000
    ) {
        self.batchThreshold = max(1, batchThreshold)
        self.flushWindow = flushWindow
        self.maximumCommands = max(1, maximumCommands)
    }
}

/// What happens to an entity whose behavior has a bug or whose records cannot be read. A store that fails is not the
/// entity's fault and does not count; nor does a rejection.
public enum Supervision: Sendable, Hashable {
    /// The entity is loaded anew for the next command. More than `limit` failures within the time stop it.
    case restart(limit: Int, within: Duration)
    /// The first failure stops it.
    case stop
}
