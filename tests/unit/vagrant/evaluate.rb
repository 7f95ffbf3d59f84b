# Evaluates a Vagrantfile without Vagrant, and prints what it sets for each machine and provider as JSON.
require "json"
require "pathname"

# Takes any setting: `x.y = 1` and `x.y 1, a: 2` are kept, anything else leads deeper.
class Recorder
  def initialize(settings, path = "")
    @settings, @path = settings, path
  end

  def method_missing(name, *arguments, **options)
    key = @path.empty? ? name.to_s : "#{@path}.#{name}"
    return Recorder.new(@settings, key) if arguments.empty? && options.empty? && !name.end_with?("=")

    value = arguments + (options.empty? ? [] : [options])
    name.end_with?("=") ? @settings[key.chomp("=")] = arguments[0] : (@settings[key] ||= []) << value
  end

  def respond_to_missing?(*) = true
end

class Vm < Recorder
  attr_reader :providers

  def provider(name, &block) = (@providers ||= {})[name] = block
end

class Node
  attr_reader :vm, :ssh

  def initialize(settings)
    @vm = Vm.new(settings, "vm")
    @ssh = Recorder.new(settings, "ssh")
  end
end

class Top < Node
  def initialize(settings)
    super
    machines = MACHINES
    @vm.define_singleton_method(:define) { |name, &block| machines[name] = block }
  end
end

MACHINES = {}
MACHINES_OUT = {}
module Vagrant
  def self.user_data_path = Pathname("/home/ada/.vagrant.d")

  def self.configure(_version)
    shared = {}
    yield Top.new(shared)
    MACHINES.each do |name, define|
      own = {}
      node = Node.new(own)
      define.call(node)
      MACHINES_OUT[name] = node.vm.providers.to_h do |provider, block|
        settings, override = {}, {}
        block.call(Recorder.new(settings), Node.new(override))
        [provider, { "settings" => settings, "common" => shared.merge(own).merge(override) }]
      end
    end
  end
end

load File.expand_path(ARGV[0])
puts JSON.generate(MACHINES_OUT)
