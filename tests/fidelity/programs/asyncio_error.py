import asyncio
async def main():
    raise ValueError("in task")
asyncio.run(main())
