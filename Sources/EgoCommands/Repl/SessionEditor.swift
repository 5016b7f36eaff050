import CommandLineKit
import Dispatch

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Programs that have the terminal to themselves for a while.
struct SessionEditor {
    private let context: CommandContext

    init(_ context: CommandContext) { self.context = context }

    /// Runs a line of the shell, off the cooperative pool; nil when it cannot be started.
    static func shell(_ line: String) async -> Int32? {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: Shell.run(line)) }
        }
    }

    /// Lets the user edit a text, or a file; returns what the editor leaves, without line breaks at its end.
    func edit(_ path: String?, _ text: String) async throws -> String {
        let environment = context.console.environment
        let editor = [environment["VISUAL"], environment["EDITOR"]].compactMap(\.self).first { !$0.isEmpty } ?? "vi"
        var file = path ?? ""
        if path == nil {
            // Only its owner can read it: it may hold what is kept encrypted in the store.
            file = FileManager.default.temporaryDirectory.appendingPathComponent("ego-\(UUID().uuidString).txt").path
            guard
                FileManager.default.createFile(
                    atPath: file, contents: Data((text + "\n").utf8), attributes: [.posixPermissions: 0o600])
            else { throw CommandFailure(.io, Escape.shown(file), "the file cannot be written") }
        } else if !FileManager.default.fileExists(atPath: file) {
            throw CommandFailure(.noInput, Escape.shown(file), "there is no such file")
        }
        defer { if path == nil { try? FileManager.default.removeItem(atPath: file) } }
        // In the shell's place: the shell itself would end at a Ctrl-C that the editor lives through.
        guard let code = await Self.shell("exec \(editor) \(Escape.shellWord(file))"), code == 0 else {
            throw CommandFailure(
                .failure, Escape.shown(editor), "the editor failed", hint: "VISUAL or EDITOR names another")
        }
        guard let data = FileManager.default.contents(atPath: file),
            let edited = String(validating: data, as: UTF8.self)
        else { throw CommandFailure(.data, Escape.shown(file), "it is no UTF-8") }
        return ScannedInput.trimmed(edited)
    }
}
