/// How a PostgreSQL store is opened.
public struct PostgresStoreOptions: Sendable {
    /// Whether anything may be written.
    public var readOnly: Bool
    /// The most connections; at least 1. They are made when they are needed. Appends have as many of their own.
    public var connections: Int
    /// How long the server may take for a statement, and for a lock; nil for the server's own settings.
    public var statementTimeout: Duration?
    /// How long a call goes on trying to get a lost connection back before it fails as unavailable.
    public var reconnectTimeout: Duration
    /// What the server shows as the application's name where the URL gives none.
    public var applicationName: String
    /// Whether a proxy gives each transaction another session; nil finds out.
    public var isPooled: Bool?
    /// Whether a store can be opened whose older rows do not have their order yet, to give it to them.
    package var isAdopting = false
    /// What the connections are for.
    var purpose = Purpose.everything

    enum Purpose: Sendable {
        case everything, appends, notifications
    }

    /// The schema that all connections work in, and no other; nil for what the URL, the role or the database says. Not
    /// through a proxy that gives each transaction another session.
    package var schema: String?

    /// Options with the given values.
    public init(
        readOnly: Bool = false, connections: Int = 4, statementTimeout: Duration? = nil,
        reconnectTimeout: Duration = .seconds(10), applicationName: String = "ego", isPooled: Bool? = nil
    ) {
        self.readOnly = readOnly
        self.connections = max(1, connections)
        self.statementTimeout = statementTimeout
        self.reconnectTimeout = reconnectTimeout
        self.applicationName = applicationName
        self.isPooled = isPooled
    }
}
