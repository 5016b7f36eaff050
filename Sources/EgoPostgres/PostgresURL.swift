import CPostgreSQL
public import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where a PostgreSQL database is, as libpq reads it: `postgres://user@host:port/database?parameters`, with everything
/// that is left out taken from the `PG*` variables, the service file and the password file
/// (postgresql.org/docs/current/libpq-connect.html).
public struct PostgresURL: Sendable, Hashable, CustomStringConvertible {
    /// As it was given, with a password that may be in it.
    let text: String
    private let parameters: [String: String]

    /// Reads a URL.
    ///
    /// - Throws: `StoreError` with code `invalid` when libpq does not take it.
    public init(_ text: String) throws(StoreError) {
        // libpq would take the end of the password for the host, and say so.
        let authority = text.drop { $0 != "/" }.dropFirst(2).prefix { $0 != "/" && $0 != "?" }
        if authority.count(where: { $0 == "@" }) > 1 {
            throw StoreError(.invalid, "an @ in the user or the password has to be written as %40")
        }
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(text, &message) else {
            defer { PQfreemem(message) }
            // libpq quotes the text, which can hold a password.
            throw StoreError(.invalid, "this is no connection URI of PostgreSQL")
        }
        defer { PQconninfoFree(options) }
        var parameters: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { parameters[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        self.text = text
        self.parameters = parameters
    }

    /// Whether the text holds a password, which everybody can read where it is on a command line.
    public var hasPassword: Bool { parameters["password"] != nil || parameters["sslpassword"] != nil }

    /// Where it is, without secrets.
    public var description: String {
        let host = parameters["host"] ?? parameters["hostaddr"] ?? ""
        let user = parameters["user"].map { $0 + "@" } ?? ""
        let port = parameters["port"].map { ":" + $0 } ?? ""
        var rest = parameters["service"].map { ["service=" + $0] } ?? []
        if host.hasPrefix("/") { rest.append("host=" + host) }
        let place = host.hasPrefix("/") ? user : user + host + port
        return
            "postgres://\(place)/\(parameters["dbname"] ?? "")\(rest.isEmpty ? "" : "?" + rest.joined(separator: "&"))"
    }

    /// Starts a connection and waits until it is made, or has failed.
    func connect(_ options: PostgresStoreOptions) -> OpaquePointer? {
        // What is set after the text wins over it, so only what it leaves out is.
        var extra = [
            "fallback_application_name": options.applicationName, "client_encoding": "UTF8",
            "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3", "tcp_user_timeout": "60000",
        ]
        if getenv("PGCONNECT_TIMEOUT") == nil { extra["connect_timeout"] = "10" }
        extra = extra.filter { parameters[$0.key] == nil || $0.key == "client_encoding" }
        let pairs = [("dbname", text)] + extra.sorted { $0.key < $1.key }
        let keywords = pairs.map { strdup($0.0) }
        let values = pairs.map { strdup($0.1) }
        defer { for text in keywords + values { free(text) } }
        let keywordPointers = keywords.map { UnsafePointer($0) } + [nil]
        let valuePointers = values.map { UnsafePointer($0) } + [nil]
        return PQconnectdbParams(keywordPointers, valuePointers, 1)
    }
}
