import CommandLineKit
import Dispatch
import EgoCore
import EgoOperations
import LineEditor
import Synchronization

/// What may stand at the cursor of a session: the same answers as a shell gets, and the content of messages.
final class SessionCompleter: Sendable {
    private let session: ReplSession
    /// How long Tab waits for the store.
    private static let limit: DispatchTimeInterval = .milliseconds(150)

    init(_ session: ReplSession) { self.session = session }

    /// Answers the editor, on its queue; with nothing when it takes too long.
    ///
    /// - Parameter before: the lines of the input that stand above this one.
    func complete(_ line: String, after before: String) -> LineCompletion {
        let answer = Answer()
        let done = DispatchSemaphore(value: 0)
        let work = Task {
            let found = await completion(line, before)
            answer.completion.withLock { $0 = found }
            done.signal()
        }
        if done.wait(timeout: .now() + Self.limit) == .timedOut {
            work.cancel()
            return .none
        }
        return answer.completion.withLock { $0 }
    }

    /// What was found, for a thread that waits.
    private final class Answer: Sendable {
        let completion = Mutex(LineCompletion.none)
    }

    /// What may stand at the end of a line.
    func completion(_ line: String, _ before: String) async -> LineCompletion {
        let text = before.isEmpty ? line : before + "\n" + line
        let offset = text.utf8.count - line.utf8.count
        var found = await input(text)
        // A word that began on a line above cannot be replaced from this one.
        if !found.takesFiles, found.start < offset { return .none }
        found.start -= offset
        return found
    }

    /// What may stand at the end of an input.
    private func input(_ text: String) async -> LineCompletion {
        let start = text.utf8.count - text.drop(while: \.isWhitespace).utf8.count
        let body = String(text.drop(while: \.isWhitespace))
        var found: LineCompletion
        if let variable = variables(body) {
            found = variable
        } else if body.hasPrefix("\\") {
            found = await command(body)
        } else {
            found = message(body)
        }
        found.start += start
        return found
    }

    /// Names of variables, after a colon.
    private func variables(_ text: String) -> LineCompletion? {
        let word = text.reversed().prefix { $0 == "_" || $0.isLetter || $0.isNumber }.reversed()
        let rest = text.dropLast(word.count)
        guard rest.last == ":", let before = rest.dropLast().last, before.isWhitespace || "([{,=".contains(before)
        else {
            return nil
        }
        let names = session.settings.variables.keys.filter { $0.hasPrefix(String(word)) }.sorted()
        return names.isEmpty ? nil : LineCompletion(from: text.utf8.count - String(word).utf8.count, names)
    }

    // MARK: Meta commands

    private func command(_ text: String) async -> LineCompletion {
        let table = session.table
        let name = String(text.dropFirst().prefix { !$0.isWhitespace })
        if text.count == name.count + 1 {
            let names = table.commands.filter { !$0.isHidden }.flatMap { [$0.name] + $0.aliases }
            return LineCompletion(from: 1, names.filter { $0.hasPrefix(name) }.sorted())
        }
        guard let command = table.command(at: [name]) else { return .none }
        let rest = String(text.dropFirst(name.count + 1))
        let start = name.utf8.count + 1
        var words = SessionWords(rest)
        if let last = command.operands.last, last.arity == .rest {
            words = SessionWords(
                rest, rawAfter: command.operands.count - 1, flagsWithValue: table.flagsWithValue(of: command))
            let isFlag = words.leadingFlags == words.words.count && !words.words.isEmpty && !words.endsOpen
            let given = words.words.count - words.leadingFlags
            if !isFlag, given + (words.endsOpen ? 1 : 0) >= command.operands.count {
                let begin = words.endsOpen ? rest.utf8.count : words.starts.last ?? rest.utf8.count
                let raw = String(decoding: rest.utf8.dropFirst(begin), as: UTF8.self)
                var found = await self.raw(raw, last.completion)
                found.start += start + begin
                return found
            }
        }
        let current = words.endsOpen ? "" : words.words.last ?? ""
        let begin = start + (words.endsOpen ? rest.utf8.count : words.starts.last ?? 0)
        let before = words.endsOpen ? words.words : Array(words.words.dropLast())
        let point = table.completion(after: [command.name] + before, current: current)
        switch point.answer {
        case .files: return .files
        case .words(let candidates):
            return LineCompletion(from: begin, candidates.map { point.prefix + $0.word })
        case .values(let source, let typed):
            let found = await values(of: source, start: typed, point)
            return LineCompletion(from: begin, found.map { point.prefix + Self.quoted($0) })
        }
    }

    /// What may stand where a command takes the rest of the line.
    private func raw(_ text: String, _ completion: Completion) async -> LineCompletion {
        switch completion {
        case .file:
            return text.hasPrefix("|") ? .none : .files
        case .dynamic("message"): return message(text)
        case .dynamic("input"): return await input(text)
        default: return .none
        }
    }

    private func values(of source: String, start: String, _ point: CompletionPoint) async -> [String] {
        let context = session.context
        let found: [String]
        switch source {
        case "meta-command":
            let start = start.hasPrefix("\\") ? String(start.dropFirst()) : start
            found = session.table.commands.filter { !$0.isHidden && $0.name.hasPrefix(start) }.map(\.name)
        case "variable": found = session.settings.variables.keys.filter { $0.hasPrefix(start) }.sorted()
        case "message-type":
            let names = session.schema.describedNames
            let short = names.map { String($0.split(separator: ".").last ?? "") }
            found = Array(
                Set(short.filter { $0.hasPrefix(start) } + names.filter { $0.hasPrefix(start) && start.contains(".") })
            )
            .sorted()
        default:
            var inSession = context
            inSession.session = session
            let candidates = try? await CompletionValues(inSession, point).candidates(of: source, start: start)
            found = candidates?.map(\.word) ?? []
        }
        // What a terminal would take for something else is better typed by hand.
        return found.filter { $0 == Escape.shown($0) || $0.contains("\\") }.prefix(50).map(\.self)
    }

    /// A value as a word of an input.
    private static func quoted(_ word: String) -> String {
        word.contains(where: { $0.isWhitespace || "\"'{}[]#\\".contains($0) })
            ? word.map { $0.isWhitespace || "\"'{}[]#\\".contains($0) ? "\\\($0)" : String($0) }.joined() : word
    }

    // MARK: Messages

    private func message(_ text: String) -> LineCompletion {
        let name = String(text.prefix { !$0.isWhitespace && $0 != "{" })
        let types = session.schema.commandTypes(of: session.entity)
        if name.count == text.count {
            let short = types.map(\.shortName).filter { $0.hasPrefix(name) }
            let long = name.contains(".") ? types.map(\.name).filter { $0.hasPrefix(name) } : []
            return LineCompletion(from: 0, (short + long).sorted())
        }
        guard let type = try? session.schema.commandType(named: name, of: session.entity),
            let descriptor = session.schema.descriptor(of: type.name)
        else { return .none }
        let content = String(text.dropFirst(name.count))
        var found = MessageCompletion(descriptor).completion(content)
        found.start += name.utf8.count
        return found
    }
}
