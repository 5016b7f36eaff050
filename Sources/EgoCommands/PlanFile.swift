import CommandLineKit
import EgoOperations

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Plans in files, and in a command's output.
enum PlanFile {
    /// The flags that write and carry out a plan.
    static func flags<Options>(
        _ plan: any (WritableKeyPath<Options, String?> & Sendable),
        _ apply: any (WritableKeyPath<Options, String?> & Sendable)
    ) -> [Flag<Options>] {
        [
            Flag(
                "plan", arity: .value(placeholder: "FILE", completion: .file),
                summary: "write what would be done to a file"
            ) { (value, options) in options[keyPath: plan] = value.text },
            Flag(
                "apply", arity: .value(placeholder: "FILE", completion: .file),
                summary: "do what a plan says, if it still holds"
            ) { (value, options) in options[keyPath: apply] = value.text },
        ]
    }

    static func write(_ plan: Plan, to path: String, _ context: CommandContext) throws {
        try context.checkNotStore(path, subject: "--plan")
        if FileManager.default.fileExists(atPath: path) {
            try context.confirmation.confirm("\(Escape.shown(path)) will be replaced")
        }
        do { try plan.encoded().write(to: URL(fileURLWithPath: path)) } catch {
            throw CommandFailure(.io, path, "the plan cannot be written: \(SystemError.text(error))")
        }
    }

    static func read(_ path: String) throws -> Plan {
        guard FileManager.default.fileExists(atPath: path) else {
            throw CommandFailure(.noInput, path, "there is no such plan")
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CommandFailure(.noPermission, path, "the plan cannot be read")
        }
        do { return try Plan.decoded(data) } catch {
            throw CommandFailure(.data, path, error.message, hint: error.hint)
        }
    }

    static func value(_ plan: Plan) -> OutputValue {
        let counts = plan.counts.sorted { $0.key < $1.key }.map { OutputValue.Field($0.key, .number($0.value)) }
        return .object([
            .init("operation", .text(plan.operation)), .init("store_id", .text(plan.storeID)),
            .init("head", .identifier(plan.head)), .init("counts", .object(counts)),
            .init("samples", .array(plan.samples.map(OutputValue.text))),
        ])
    }
}

/// What the operating system said, without Foundation's wrapping.
enum SystemError {
    static func text(_ error: any Error) -> String {
        guard let error = error as? CocoaError else { return "\(error)" }
        let posix = error.underlying as? POSIXError
        return posix.map { String(cString: strerror($0.code.rawValue)) } ?? "error \(error.code.rawValue)"
    }
}
