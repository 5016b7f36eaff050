import CommandLineKit
import EgoPostgres

/// What an operator should know of a store's server, beside what is in it.
struct PostgresChecks {
    let store: PostgresStore

    func checks() async -> [DoctorCheck] {
        do {
            let server = try await store.server()
            var checks = [
                DoctorCheck(
                    "server", .ok,
                    "PostgreSQL \(server.version)\(server.isReplica ? ", a replica" : "")\(server.isEncrypted ? ", over TLS" : "")"
                )
            ]
            if server.isPooled {
                checks.append(
                    DoctorCheck(
                        "proxy", .warning,
                        "a proxy gives each transaction another session: statements are planned each time, and readers poll",
                        remedy: "connect to the server itself where speed counts"))
            }
            if server.isReplica {
                checks.append(
                    DoctorCheck(
                        "replica", .warning, "it takes no writes", remedy: "name the primary to change something"))
            }
            checks.append(permissions(try await store.missingPrivileges()))
            return checks
        } catch {
            let failure = CommandFailure(error)
            return [DoctorCheck("server", .problem, failure.why, remedy: failure.hint)]
        }
    }

    private func permissions(_ missing: [String]) -> DoctorCheck {
        if missing.isEmpty { return DoctorCheck("permissions", .ok, "this role can read and write all tables") }
        return DoctorCheck(
            "permissions", .warning, "this role lacks \(missing.joined(separator: ", "))",
            remedy: "commands that change the store need them: GRANT ... TO the role")
    }
}
