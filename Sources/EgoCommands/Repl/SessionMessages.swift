import CommandLineKit
import Ego
import EgoCore
import EgoOperations
import ProtobufReflection
import SwiftProtobuf

/// Sends commands that were typed to the entity of the session.
struct SessionMessages {
    private let session: ReplSession
    private let context: CommandContext

    init(_ session: ReplSession, _ context: CommandContext) {
        self.session = session
        self.context = context
    }

    // MARK: Reading

    /// Splits `TYPE {"field": ...}` or `TYPE field: ...`; the content may be empty.
    private func split(_ text: String) throws -> (type: MessageType, content: String) {
        let name = String(text.prefix { !$0.isWhitespace && $0 != "{" })
        let content = ScannedInput.trimmed(String(text.dropFirst(name.count)))
        do { return (try session.schema.commandType(named: name, of: session.entity), content) } catch {
            var failure = CommandFailure(error)
            if failure.exitCode == .usage, failure.hint?.hasPrefix("did you") != true {
                failure.hint = "\\types lists the commands, \\? what else can be typed"
            }
            throw failure
        }
    }

    /// The message; at a terminal, one without content is asked for field by field.
    private func message(_ content: String, as type: MessageType) async throws -> any Message {
        if content.isEmpty, session.isInteractive { return try await FieldPrompts(session).ask(for: type) }
        return try parse(content, as: type)
    }

    private func parse(_ content: String, as type: MessageType) throws -> any Message {
        do {
            return content.hasPrefix("{") ? try type.parseJSON(content) : try type.parseText(content)
        } catch {
            var why = described(content, as: type) ?? JSONProblem.text(error)
            // This one knows the name.
            if case JSONDecodingError.unknownField = error { why = JSONProblem.text(error) }
            throw CommandFailure(
                .data, type.shortName, why,
                hint: "write {\"field\": value}, or field: value; \\desc \(type.shortName) lists the fields")
        }
    }

    /// What is wrong with a content, by the description of its type, which knows names and places.
    private func described(_ content: String, as type: MessageType) -> String? {
        guard let descriptor = session.schema.descriptor(of: type.name) else { return nil }
        do {
            if content.hasPrefix("{") {
                _ = try DynamicMessage(descriptor, json: content)
            } else {
                _ = try DynamicMessage(descriptor, text: content)
            }
            return nil
        } catch { return error.description }
    }

    // MARK: Sending

    /// Sends one command, or shows what it would do.
    func send(_ text: String, isPreview: Bool) async throws -> CommandOutput {
        let sent: Sent
        do { sent = try await carryOut(text, isPreview: isPreview) } catch let error as EgoError
            where error.code == .rejected && session.isInteractive && context.global.output == .table
        {
            // A plain sentence: nothing has failed.
            let sentence = "  \(isPreview ? "would reject" : "rejected"): \(Escape.shown(error.message))\n"
            return CommandOutput(text: sentence) { CommandOutput.Completion(exitCode: .rejected) }
        } catch {
            throw isPreview ? error : Self.interruption(error)
        }
        do { return try await output(sent, isPreview: isPreview) } catch {
            // From here on an interruption changes nothing about what was written.
            var failure = CommandFailure(error)
            failure.changed = !isPreview
            if !isPreview { failure.hint = "the command was carried out; only its answer is lost" }
            throw failure
        }
    }

    /// What a command gave.
    private struct Sent {
        var store: any Store
        var kind: EntityKind
        var before: ErasedReply
        var reply: ErasedReply
        var took: Duration
    }

    /// A message that was typed, and where it goes.
    private struct Addressed {
        var message: any Message
        var entity: ReplSession.Entity
        var kind: EntityKind
        var store: any Store
    }

    private func address(_ text: String, isPreview: Bool) async throws -> Addressed {
        let entity = try context.chosenEntity
        let (type, content) = try split(text)
        if !isPreview { try context.checkWritable() }
        let message = try await message(content, as: type)
        let store = try await context.open(readOnly: isPreview)
        let resolver = EntityResolver(store: store, domain: context.domain)
        let kind = try await resolver.kind(
            of: entity.id, record: try await resolver.record(entity.id), requested: entity.kind,
            commandType: type.name)
        return Addressed(message: message, entity: entity, kind: kind, store: store)
    }

    private func carryOut(_ text: String, isPreview: Bool) async throws -> Sent {
        let command = try await address(text, isPreview: isPreview)
        let (id, kind) = (command.entity.id, command.kind)
        let engine = context.engine(on: command.store)
        let start = ContinuousClock.now
        do {
            let before = try await engine.state(of: id, kind: kind)
            let reply =
                isPreview
                ? try await engine.preview(command.message, to: id, kind: kind)
                : try await engine.send(command.message, to: id, kind: kind)
            let took = ContinuousClock.now - start
            await engine.shutdown()
            return Sent(store: command.store, kind: kind, before: before, reply: reply, took: took)
        } catch {
            await engine.shutdown()
            throw error
        }
    }

    /// The answer to a command that was carried out.
    private func output(_ sent: Sent, isPreview: Bool) async throws -> CommandOutput {
        let id = sent.reply.persistenceID
        if !isPreview {
            session.entity?.kind = sent.kind.name
            session.entity?.sequenceNumber = sent.reply.sequenceNumber
        }
        let key = try await key(of: id, in: sent.store)
        if !isPreview, key != nil { session.entity?.isEncrypted = true }
        var output = try SentCommand.output(
            sent.reply, kind: sent.kind, key: key, PayloadView(context), isDryRun: isPreview)
        if context.global.output == .table {
            output.text = try answer(sent.before, sent.reply, key: key, sent.took, isPreview: isPreview)
        }
        return output
    }

    /// An append that was cancelled is none: the store has taken it back, or never got it.
    private static func interruption(_ error: any Error) -> any Error {
        let failure = CommandFailure(error)
        guard failure.exitCode == .interrupted else { return error }
        return CommandFailure(.interrupted, "interrupted", "the command was not applied")
    }

    private func key(of id: PersistenceID, in store: any Store) async throws -> String? {
        if let key = try await EncryptedStore.inside(store)?.keyID(of: id) { return key }
        let known = session.entity?.isEncrypted == true
        return known ? "unknown" : nil
    }

    /// The answer for a person: the events, what changed, and where the entity is now.
    private func answer(
        _ before: ErasedReply, _ reply: ErasedReply, key: String?, _ took: Duration, isPreview: Bool
    ) throws -> String {
        let view = PayloadView(context)
        var lines: [String] = []
        let first = reply.sequenceNumber.rawValue - UInt64(reply.events.count) + 1
        let width = max(3, String(reply.sequenceNumber.rawValue).count)
        for (index, event) in reply.events.enumerated() {
            let number = String(first + UInt64(index))
            let padding = String(repeating: " ", count: max(0, width - number.count))
            let name = Swift.type(of: event).protoMessageName.split(separator: ".").last.map(String.init) ?? ""
            let payload = view.hides(key) ? "<encrypted key=\(key ?? "")>" : Escape.line(try event.jsonString())
            lines.append("event \(padding)\(number) \(name) \(payload)")
        }
        if view.hides(key) {
            lines.append("state   <encrypted key=\(key ?? "")>")
        } else {
            let changes = try EntityView.lines(before.state, reply.state)
            for (index, change) in changes.enumerated() {
                lines.append((index == 0 ? "state   " : "        ") + change)
            }
            if changes.isEmpty, reply.events.isEmpty { lines.append("nothing changes") }
        }
        let moved =
            reply.sequenceNumber == before.sequenceNumber
            ? "seq \(reply.sequenceNumber)" : "seq \(before.sequenceNumber) -> \(reply.sequenceNumber)"
        if isPreview {
            lines.append("\(moved)   nothing was written")
        } else {
            lines.append("\(moved)   \(SessionRun.milliseconds(took))")
        }
        return lines.map { "  \($0)\n" }.joined()
    }

    // MARK: Repeating

    /// Sends one command so many times, one after the other; the first that is rejected ends it.
    func repeated(_ count: Int, _ text: String) async throws -> CommandOutput {
        let command = try await address(text, isPreview: false)
        let (entity, kind) = (command.entity, command.kind)
        let engine = context.engine(on: command.store)
        let progress = context.progress("repeat")
        let start = ContinuousClock.now
        var (done, events) = (0, 0)
        var failure: CommandFailure?
        var first: SequenceNumber?
        var last = entity.sequenceNumber
        do {
            first = try await engine.state(of: entity.id, kind: kind).sequenceNumber
            while done < count {
                try Task.checkCancellation()
                let reply = try await engine.send(command.message, to: entity.id, kind: kind)
                done += 1
                events += reply.events.count
                last = reply.sequenceNumber
                progress.report(done: done, total: count, unit: "commands")
            }
        } catch {
            failure = CommandFailure(error)
        }
        progress.finish()
        await engine.shutdown()
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        if done > 0 {
            session.entity = ReplSession.Entity(
                id: entity.id, kind: kind.name, sequenceNumber: last, isEncrypted: entity.isEncrypted)
        }
        if var failure {
            failure.changed = events > 0
            failure.why += ", after \(done) of \(count)"
            throw failure
        }
        let perSecond = Int(Double(done) / max(seconds, 0.000_001))
        let changed = events > 0
        return CommandOutput(
            fields: [
                .init("id", .text(entity.id.rawValue)), .init("commands", .number(done)),
                .init("events", .number(events)), .init("from_sequence_number", .number(first ?? .zero)),
                .init("sequence_number", .number(last)), .init("seconds", .real(seconds)),
            ],
            text: context.global.output == .table
                ? "  \(done) commands, \(events) events, seq \(first ?? .zero) -> \(last)   \(perSecond) a second\n"
                : nil
        ) { CommandOutput.Completion(changed: changed) }
    }
}
