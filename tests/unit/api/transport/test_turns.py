"""How many calls begin in one turn of the loop."""

import asyncio

from kong_eventhooks_plugin.api.transport.turns import Turns


async def test_one_call_begins_in_a_turn_of_the_loop_in_their_order() -> None:
    turns, began, turn = Turns(), list[tuple[int, int]](), 0
    over = asyncio.Event()

    def count() -> None:
        nonlocal turn
        turn += 1
        if not over.is_set():
            asyncio.get_running_loop().call_soon(count)

    async def call(number: int) -> None:
        if (mine := turns.turn()) is not None:
            await mine
        began.append((number, turn))

    count()
    calls = [asyncio.create_task(call(number)) for number in range(20)]
    calls[3].cancel()  # its caller has left
    await asyncio.gather(*calls, return_exceptions=True)
    over.set()
    assert [number for number, _ in began] == [number for number in range(20) if number != 3]
    assert len({at for _, at in began}) == 19, "no two in one turn"


async def test_after_a_pause_it_goes_on() -> None:
    turns = Turns()
    for _ in range(3):
        assert turns.turn() is None
        await asyncio.sleep(0)
