//! What programs do at the hooks of sockets and cgroups.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static SEEN: Array<u64, 16> = Array::new();

fn see(index: u32, value: u64) {
    if let Some(seen) = SEEN.get(index) {
        seen.store(value);
    }
}

const SOL_SOCKET: i32 = 1;
const SO_MARK: i32 = 36;
const SO_INCOMING_CPU: i32 = 49;
const TCP: i32 = 6;
const TCP_NODELAY: i32 = 1;

#[sock_ops]
fn events(context: &SockOpsContext) -> Result<Handled> {
    match context.op() {
        sock_op::ACTIVE_ESTABLISHED | sock_op::PASSIVE_ESTABLISHED => {
            context.set_flags(sock_op_flags::STATE | sock_op_flags::RTT)?;
            see(1, context.socket_cookie());
            context.set_option(TCP, TCP_NODELAY, &1_i32)?;
            see(0, context.option::<i32>(TCP, TCP_NODELAY)? as u64);
        }
        sock_op::STATE => see(2, context.args()[1].into()),
        sock_op::RWND_INIT => context.set_reply(10),
        sock_op::HEADER_OPTIONS_LEN => context.reserve_header_option(4)?,
        sock_op::WRITE_HEADER_OPTIONS => context.store_header_option(&[254_u8, 4, 1, 2])?,
        sock_op::PARSE_HEADER_OPTIONS => {
            let mut option = [254_u8, 4, 1, 0];
            see(3, context.load_header_option(&mut option)? as u64);
        }
        _ => return Ok(Handled::NO),
    }
    Ok(Handled::YES)
}

#[sk_msg]
fn message(context: &mut SkMsgContext) -> Result<SkAction> {
    context.apply_bytes(2);
    context.cork_bytes(2);
    context.pull_data(0, 2)?;
    if let Some(first) = context.packet_mut().write::<[u8; 2]>(0) {
        first.swap(0, 1);
    }
    if context.size() > 100 {
        context.push_data(0, 4)?;
        context.pop_data(0, 4)?;
    }
    Ok(if context.local_port() == 7 || context.sk().family() == 9 {
        SkAction::DROP
    } else {
        SkAction::PASS
    })
}

#[map]
static SERVERS: SockMap<1> = SockMap::new();

/// All ports of 127.0.0.7 are one server's.
#[sk_lookup]
fn steer(context: &SkLookupContext) -> Result<SkAction> {
    if context.local_ip4().to_ne_bytes() == [127, 0, 0, 7] {
        see(13, context.local_port().into());
        see(14, context.protocol().into());
        if let Some(server) = SERVERS.get(0) {
            context.assign(&server)?;
        }
    }
    Ok(SkAction::PASS)
}

#[sk_lookup]
fn look(context: &SkLookupContext) -> Result<SkAction> {
    if context.local_port() == 7 && context.protocol() == 6 {
        if let Some(socket) = context.sk() {
            see(4, socket.src_port().into());
        }
        context.unassign()?;
    }
    Ok(SkAction::PASS)
}

#[sk_reuseport]
fn choose(context: &ReuseportContext) -> Result<SkAction> {
    let first: u8 = context.load_from(Header::Network, 0)?;
    let byte = context.packet().read::<[u8; 1]>(8).map_or(0, |byte| byte[0]);
    see(5, u64::from(context.hash()) + u64::from(first) + u64::from(byte));
    Ok(SkAction::PASS)
}

#[sk_reuseport(migrate)]
fn migrate(context: &ReuseportContext) -> SkAction {
    match context.migrating_sk() {
        Some(socket) if socket.family() == 99 => SkAction::DROP,
        _ => SkAction::PASS,
    }
}

#[cgroup_sock(create)]
fn created(context: &SockContext) -> Access {
    context.set_mark(7);
    see(6, context.family().into());
    Access::ALLOW
}

#[cgroup_sock(post_bind4)]
fn bound(context: &SockContext) -> Access {
    see(7, context.src_port().into());
    (context.src_port() != 13).into()
}

#[cgroup_sock_addr(connect4)]
fn connect(context: &SockAddrContext) -> Result<Access> {
    if context.user_port() == u32::from(9_u16.to_be()) {
        context.set_user_port(u32::from(10_u16.to_be()));
        context.set_option(SOL_SOCKET, SO_MARK, &7_u32)?;
        // Family, port and address, all of which the kernel chooses but the first.
        context.bind(&[2_u16, 0, 0, 0, 0, 0, 0, 0])?;
    }
    see(8, context.socket_cookie() + context.netns_cookie());
    Ok((context.user_ip4() != u32::from_ne_bytes([127, 9, 9, 9])).into())
}

#[cgroup_sock_addr(sendmsg6)]
fn send(context: &SockAddrContext) -> Access {
    context.set_user_ip6(3, 1_u32.to_be());
    (context.user_ip6()[0] == 0).into()
}

#[cgroup_sysctl]
fn sysctl(context: &SysctlContext) -> Result<Access> {
    let (mut name, mut value) = ([0_u8; 64], [0_u8; 16]);
    see(9, context.name(&mut name)? as u64);
    see(10, context.base_name(&mut name)? as u64);
    if context.write() == 1 {
        context.new_value(&mut value)?;
        context.set_new_value(b"1")?;
    } else {
        see(11, context.current_value(&mut value)? as u64);
    }
    Ok(Access::ALLOW)
}

#[cgroup_sockopt(get)]
fn told(context: &mut SockoptContext) -> Access {
    if context.level() == SOL_SOCKET && context.optname() == SO_INCOMING_CPU {
        let length = match context.packet_mut().write::<[u8; 4]>(0) {
            Some(value) => {
                *value = 77_u32.to_ne_bytes();
                4
            }
            None => 0,
        };
        context.set_optlen(length);
        context.set_retval(0);
    }
    Access::ALLOW
}

#[cgroup_sockopt(set)]
fn set(context: &SockoptContext) -> Access {
    match context.sk().protocol() {
        99 => Access::DENY,
        _ => Access::ALLOW,
    }
}

#[cgroup_device]
fn device(context: &DeviceContext) -> Access {
    see(12, context.major().into());
    ((context.major(), context.minor()) != (1, 11)).into()
}
