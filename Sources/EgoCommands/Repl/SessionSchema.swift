import CommandLineKit
import EgoCore
import ProtobufReflection

/// The message types that a session knows: those of the domain's behaviors, and those that are described.
struct SessionSchema: Sendable {
    let domain: Domain
    private let described: [DescriptorSet]

    init(_ context: CommandContext) throws {
        domain = context.domain
        var described = context.descriptors.map { [$0] } ?? []
        if !domain.descriptorSet.isEmpty {
            do { described.append(try DescriptorSet(serialized: domain.descriptorSet)) } catch {
                throw CommandFailure(.data, "domain \(domain.name)", "its descriptors: \(error.description)")
            }
        }
        self.described = described
    }

    /// The description of a message by its full name.
    func descriptor(of name: String) -> MessageDescriptor? {
        described.lazy.compactMap { $0.message(named: name) }.first
    }

    /// The full names of all messages that are described, ascending.
    var describedNames: [String] { Array(Set(described.flatMap(\.messageNames))).sorted() }

    /// The commands of an entity; those of all kinds where its kind is not known.
    func commandTypes(of entity: ReplSession.Entity?) -> [MessageType] {
        guard let kind = entity?.kind, let known = domain.kinds.first(where: { $0.name == kind }) else {
            return domain.commandTypes
        }
        return known.commandTypes
    }

    /// A command's type by its full or short name.
    ///
    /// - Throws: `DomainError`.
    func commandType(named name: String, of entity: ReplSession.Entity?) throws(DomainError) -> MessageType {
        let found = commandTypes(of: entity).filter { $0.name == name || $0.shortName == name }
        if found.count == 1, let type = found.first { return type }
        return try domain.commandType(named: name)
    }

    /// A described message by its full name, or by its short name where only one has it.
    func descriptor(matching name: String) throws -> MessageDescriptor {
        if let exact = descriptor(of: name) { return exact }
        let names = describedNames
        let found = names.filter { $0.hasSuffix("." + name) }
        if found.count > 1 {
            throw UsageError(
                "it can be \(found.joined(separator: " or "))", subject: Escape.shown(name), hint: "give the full name")
        }
        if let only = found.first, let descriptor = descriptor(of: only) { return descriptor }
        if domain.messages.type(named: name) != nil
            || domain.kinds.flatMap(\.commandTypes).contains(where: { $0.shortName == name })
        {
            throw CommandFailure(
                .config, Escape.shown(name), "the type is linked, but its fields are not described",
                hint: "--descriptor-set names a file with descriptions")
        }
        let short = names.map { String($0.split(separator: ".").last ?? "") }
        throw UsageError(
            "no message of that name is known", subject: Escape.shown(name),
            hint: Suggestion.hint(for: name, among: names + short) ?? "\\types lists them")
    }
}
