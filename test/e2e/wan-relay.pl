#!/usr/bin/perl
# A long line between hosts: carries IPv4 packets from each TUN device to the one whose address they are for, each after a delay.
# (Node cannot open a TUN device. perl-base is on every Debian.)
#
#   wan-relay.pl DELAY_MS NAME=ADDRESS...     says "ready" when the devices are there; they may be moved to other network namespaces then
use strict;
use warnings;
use Fcntl qw(O_RDWR O_NONBLOCK);
use IO::Handle;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

# linux/if_tun.h
my ($TUNSETIFF, $IFF_TUN, $IFF_NO_PI) = (0x400454ca, 0x0001, 0x1000);
# What a line of this length may hold; more is lost, as on a real one.
my ($PACKETS_MAX, $PACKET_BYTES) = (50_000, 65_536);

my ($delay_ms, @ends) = @ARGV;
my (%device, @devices, @queue);
for my $end (@ends) {
  my ($name, $address) = split /=/, $end;
  sysopen(my $handle, '/dev/net/tun', O_RDWR | O_NONBLOCK) or die "/dev/net/tun: $!";
  ioctl($handle, $TUNSETIFF, pack('a16 s x22', $name, $IFF_TUN | $IFF_NO_PI)) or die "$name: $!";
  $device{pack('C4', split(/\./, $address))} = $handle;
  push @devices, $handle;
}
STDOUT->autoflush(1);
print "ready\n";
my $wanted = '';
vec($wanted, fileno($_), 1) = 1 for @devices;
while (getppid() != 1) {
  my $now = clock_gettime(CLOCK_MONOTONIC);
  while (@queue && $queue[0][0] <= $now) {
    my ($due, $to, $packet) = @{shift @queue};
    syswrite($to, $packet);
  }
  my $wait = @queue ? $queue[0][0] - $now : 0.5;
  next unless select(my $ready = $wanted, undef, undef, $wait) > 0;
  for my $from (@devices) {
    next unless vec($ready, fileno($from), 1);
    # Some at a time, so that what is due does not wait.
    for (1 .. 64) {
      my $bytes = sysread($from, my $packet, $PACKET_BYTES);
      last unless $bytes;
      next unless (ord($packet) >> 4) == 4;
      my $to = $device{substr($packet, 16, 4)};
      push @queue, [clock_gettime(CLOCK_MONOTONIC) + $delay_ms / 1000, $to, $packet] if $to && @queue < $PACKETS_MAX;
    }
  }
}
